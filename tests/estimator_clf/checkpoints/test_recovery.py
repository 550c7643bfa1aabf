"""Recovery of the newest readable checkpoint."""

import os

import pytest
import tensorflow as tf

from estimator_clf.checkpoints.recovery import recover, sweep, why_corrupt
from estimator_clf.core.errors import RunError
from estimator_clf.training.run_directory import latest_step
from tests.helpers.launching import SMALL, launch, lines
from tests.helpers.small_run import Recorder, run

v1 = tf.compat.v1


@pytest.fixture
def directory(tmp_path):
    """Checkpoints of the steps 1, 9 and 10."""
    with tf.Graph().as_default(), v1.Session() as session:
        step = v1.train.get_or_create_global_step()
        weight = v1.get_variable('w', [1000])
        session.run([step.initializer, weight.initializer])
        saver = v1.train.Saver(save_relative_paths=True)
        for number in (1, 9, 10):
            session.run(step.assign(number))
            saver.save(session, str(tmp_path / 'model.ckpt'), global_step=number)
    return tmp_path


def _cut(path, keep=100):
    path.write_bytes(path.read_bytes()[:keep])


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DATA = '.data-00000-of-00001'


def test_intact_checkpoints_are_unchanged(directory):
    before = (directory / 'checkpoint').read_bytes()
    assert recover(str(directory)) is None
    assert (directory / 'checkpoint').read_bytes() == before


def test_no_checkpoint_is_no_error(tmp_path):
    assert recover(str(tmp_path)) is None
    assert recover(str(tmp_path / 'missing')) is None


@pytest.mark.parametrize(
    'damage',
    [
        lambda directory: _cut(directory / f'model.ckpt-10{DATA}'),
        lambda directory: _cut(directory / 'model.ckpt-10.index', 10),
        lambda directory: _flip(directory / f'model.ckpt-10{DATA}'),
        lambda directory: os.remove(directory / 'model.ckpt-10.index'),
        lambda directory: os.remove(directory / f'model.ckpt-10{DATA}'),
    ],
)
def test_corrupt_newest_falls_back(directory, damage):
    damage(directory)
    assert why_corrupt(str(directory / 'model.ckpt-10'))
    message = recover(str(directory))
    assert 'model.ckpt-10 is corrupt' in message
    assert message.endswith('Resuming from model.ckpt-9.')
    assert latest_step(str(directory)) == 9
    assert recover(str(directory)) is None


def test_two_corrupt(directory):
    _cut(directory / f'model.ckpt-10{DATA}')
    _cut(directory / f'model.ckpt-9{DATA}')
    assert 'Resuming from model.ckpt-1.' in recover(str(directory))
    assert latest_step(str(directory)) == 1


@pytest.mark.parametrize('content', [None, '', 'model_checkpoint_path: "mod'])
def test_corrupt_list(directory, content):
    if content is None:
        (directory / 'checkpoint').unlink()
    else:
        (directory / 'checkpoint').write_text(content)
    assert 'list of checkpoints' in recover(str(directory))
    assert latest_step(str(directory)) == 10


def test_all_corrupt_is_an_error(directory):
    for number in (1, 9, 10):
        _cut(directory / f'model.ckpt-{number}{DATA}')
    with pytest.raises(RunError, match='every checkpoint is corrupt'):
        recover(str(directory))


@pytest.mark.extended
def test_run_resumes_from_the_one_before_with_equal_results(tmp_path):
    expected = run(tmp_path / 'expected')
    with pytest.raises(Recorder.Killed):
        run(tmp_path / 'run', Recorder(kill_after=13))
    newest = latest_step(str(tmp_path / 'run'))
    assert newest > 5
    _cut(tmp_path / 'run' / f'model.ckpt-{newest}{DATA}')
    assert run(tmp_path / 'run').metrics == expected.metrics


@pytest.mark.extended
def test_recovery_is_logged(tmp_path):
    settings = (*SMALL, f'--model_dir={tmp_path}', '--noexport', '--record_keys')
    assert launch('train', *settings, '--max_steps=30').returncode == 0
    _cut(tmp_path / f'model.ckpt-30{DATA}')
    done = launch('train', *settings, '--max_steps=40')
    assert done.returncode == 0, done.stderr
    assert 'model.ckpt-30 is corrupt' in done.stderr
    assert 'Resuming from model.ckpt-23.' in done.stderr
    steps = [line['step'] for line in lines(tmp_path / 'keys.jsonl')]
    assert steps == list(range(1, 41))


def test_sweep_removes_unfinished_files_only(tmp_path):
    unfinished = ['model.ckpt-7_temp/part-00000-of-00001.data', '.partial-abc']
    finished = [
        'model.ckpt-7.index',
        'metrics.jsonl',
        'model.ckpt-8_temporary',
        'best/x',
    ]
    for name in unfinished + finished:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('')
    sweep(str(tmp_path))
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob('*') if p.is_file()}
    assert left == set(finished)
    sweep(str(tmp_path / 'not there'))
