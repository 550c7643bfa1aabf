"""Runs without enough memory: one sentence, nothing half-written, no retry."""

import os

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.checkpoints.listing import names_of_checkpoints
from estimator_clf.core import errors, signals
from tests.helpers import small_run

# As oneDNN's operations report it.
ONEDNN = tf.errors.AbortedError(
    None,
    None,
    'Operation received an exception:Status: 1, message: could not create a memory '
    'object, in file tensorflow/core/kernels/mkl/mkl_conv_ops.cc:1112',
)
EXHAUSTED = tf.errors.ResourceExhaustedError(
    None, None, 'OOM when allocating tensor with shape[8,9] and type float'
)


def _array_memory_error():
    with pytest.raises(MemoryError) as caught:
        np.empty([2**58], np.float64)
    return caught.value


class _Fails(small_run.Recorder):
    def __init__(self, error, step):
        super().__init__()
        self._error, self._at = error, step

    def on_step(self, step):
        super().on_step(step)
        if step == self._at:
            raise self._error


@pytest.mark.combinations
@pytest.mark.parametrize(
    'error', [ONEDNN, EXHAUSTED, _array_memory_error(), MemoryError()]
)
def test_run_without_memory_ends_with_the_remedies(tmp_path, error):
    callback = _Fails(error, 7)
    with pytest.raises(errors.OutOfMemory) as caught:
        small_run.run(tmp_path, callback)
    assert callback.steps == sorted(set(callback.steps))  # No step twice.
    text = str(caught.value)
    assert text.startswith('out of memory') and caught.value.exit_code == 1
    assert 'batches of 9 images of 8x8 pixels' in text
    assert 'a smaller `batch_size`, `image_size` or network' in text
    assert 'checkpoint of step 6 is complete' in text
    # The same command continues.
    assert small_run.run(tmp_path).step == 14


def test_settings_may_change_after_a_run_without_a_step(tmp_path):
    with pytest.raises(errors.OutOfMemory) as caught:
        small_run.run(tmp_path, _Fails(ONEDNN, 1), batch_size=15)
    assert 'checkpoint' not in str(caught.value)
    assert names_of_checkpoints(tmp_path) == []
    assert small_run.run(tmp_path, batch_size=5).step == 14


def test_memory_that_runs_out_while_saving_is_no_full_disk(tmp_path, monkeypatch):
    def save(*args, **kwargs):
        raise EXHAUSTED

    monkeypatch.setattr(tf.compat.v1.train.Saver, 'save', save)
    with pytest.raises(errors.OutOfMemory):
        small_run.run(tmp_path)
    assert names_of_checkpoints(tmp_path) == []


def test_signal_ends_the_export(tmp_path, monkeypatch):
    def export(trainer):
        trainer._stop.request('SIGTERM')
        raise AssertionError('not reached')

    monkeypatch.setattr('estimator_clf.training.trainer.Trainer.export', export)
    results = small_run.run(tmp_path, export=True, max_steps=2)
    assert (results.step, results.export_path) == (2, None)
    assert results.stopped == 'SIGTERM'
    assert not os.path.exists(tmp_path / 'export')


@pytest.mark.extended
def test_stop_during_parity_check_leaves_no_version(tmp_path, monkeypatch):
    stop = signals.Stop()

    def run_check(child, path):
        assert os.path.exists(path)
        stop.request('SIGINT')

    monkeypatch.setattr('estimator_clf.export.parity_check._run_check', run_check)
    monkeypatch.setattr(signals, 'Stop', lambda: stop)
    results = small_run.run(tmp_path, export=True, max_steps=2)
    assert (results.step, results.stopped) == (2, 'SIGINT')
    assert os.listdir(tmp_path / 'export') == []
