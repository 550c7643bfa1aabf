"""A disk with no room left: said in words, and the earlier checkpoint is whole."""

import os
import resource
import signal
import subprocess

import pytest
import tensorflow as tf

from estimator_clf.checkpoints.recovery import why_corrupt
from estimator_clf.core.errors import RunError
from estimator_clf.hooks.checkpoint import CheckpointHook
from estimator_clf.training.run_directory import latest_step
from tests.helpers.small_run import bare_estimator, line_input_fn, line_model_fn, run


class _FullAfter(tf.compat.v1.train.SessionRunHook):
    """From a step on no file may grow beyond some bytes: a small full disk."""

    def __init__(self, step, limit):
        self._left, self._limit = step, limit

    def after_run(self, run_context, run_values):
        self._left -= 1
        if self._left == 0:
            limits = (self._limit, self._hard)
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    def __enter__(self):
        self._soft, self._hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        # The signal that comes with it would end the process.
        self._handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        return self

    def __exit__(self, *_):
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._soft, self._hard))
        signal.signal(signal.SIGXFSZ, self._handler)


def _large_model_fn(features, labels, mode):
    large = tf.compat.v1.get_variable('large', [50_000])
    spec = line_model_fn(features, labels, mode)
    step = tf.compat.v1.train.get_global_step()
    moved = large.assign(tf.fill([50_000], tf.cast(step, tf.float32)))
    return spec._replace(train_op=tf.group(spec.train_op, moved))


def test_a_checkpoint_that_cannot_be_written(tmp_path):
    directory = str(tmp_path)
    est = bare_estimator(directory, _large_model_fn)
    with _FullAfter(7, 100_000) as full, pytest.raises(RunError) as caught:
        est.train(
            line_input_fn(), hooks=[full, CheckpointHook(directory, [5])], steps=14
        )
    text = str(caught.value)
    assert f'step 10 could not be written to `model_dir={directory}`' in text
    assert 'File too large' in text and 'of step 5 is complete' in text
    # No partial checkpoint, and a run resumes from the one before.
    assert not [n for n in os.listdir(directory) if 'ckpt-10' in n]
    assert latest_step(directory) == 5
    assert why_corrupt(os.path.join(directory, 'model.ckpt-5')) is None
    est.train(line_input_fn(), hooks=[CheckpointHook(directory, [5])], max_steps=14)
    assert latest_step(directory) == 14


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 300 kB, where the test may make one."""
    directory = tmp_path / 'disk'
    directory.mkdir()
    mount = ['mount', '-t', 'tmpfs', '-o', 'size=300k', 'tmpfs', str(directory)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip('no mount')
    if done.returncode:
        pytest.skip('needs the right to mount a file system')
    yield directory
    subprocess.run(['umount', '-l', str(directory)], check=True)


def test_a_disk_that_is_full(small_disk):
    with pytest.raises(RunError) as caught:
        run(small_disk / 'run', network='cnn', save_every='1', keep_checkpoints=20)
    text, last = str(caught.value), latest_step(str(small_disk / 'run'))
    assert 'No space left on device' in text and f'of step {last} is complete' in text
    assert last > 0
    checkpoint = str(small_disk / 'run' / f'model.ckpt-{last}')
    assert why_corrupt(checkpoint) is None
