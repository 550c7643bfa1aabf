"""Tests of a non-finite loss: it is named, never saved, and rolled back."""

import json
import math

import pytest
import tensorflow as tf

from estimator_clf.core.errors import RunError
from estimator_clf.hooks.nan_guard import NanGuardHook, NonFiniteError
from estimator_clf.loggers.jsonl import MetricsLog
from estimator_clf.training.nan_rollback import NanRollback
from estimator_clf.training.run_directory import latest_step
from tests.helpers.small_run import Recorder, bare_estimator, line_input_fn, run

v1 = tf.compat.v1

# Of the small run's: the loss leaves what float32 holds after some steps.
FAR_TOO_LARGE = 1e37


def _weights_are_finite(directory):
    reader = tf.train.load_checkpoint(str(directory))
    return all(
        tf.reduce_all(tf.math.is_finite(reader.get_tensor(name)))
        for name in reader.get_variable_to_shape_map()
        if reader.get_variable_to_dtype_map()[name].is_floating
    )


def test_the_step_is_named_and_the_checkpoint_kept(tmp_path):
    observer = Recorder()
    with pytest.raises(RunError) as caught:
        run(tmp_path, observer, learning_rate=FAR_TOO_LARGE, save_every='1')
    last = latest_step(str(tmp_path))
    assert f'NaN or infinite at step {last + 1}' in str(caught.value)
    assert f'of step {last}, is retained' in str(caught.value)
    assert '`max_rollbacks=3`' in str(caught.value)
    assert _weights_are_finite(tmp_path)
    lines = MetricsLog(str(tmp_path)).read()
    assert all(math.isfinite(x['loss'] or math.nan) for x in lines)


@pytest.mark.extended
def test_it_continues_with_a_lower_rate(tmp_path):
    observer = Recorder()
    results = run(
        tmp_path,
        observer,
        learning_rate=FAR_TOO_LARGE,
        save_every='1',
        max_rollbacks=5,
        rollback_factor=1e-19,
    )
    assert results.step == 14
    # The weights of step 1 are finite, and beyond help: so to the checkpoint before.
    first, second = json.loads((tmp_path / 'rollbacks.json').read_text())
    assert first == {'failed_at': 2, 'from_step': 1, 'factor': 1e-19}
    assert second == {'failed_at': 2, 'from_step': 0, 'factor': 1e-19}
    messages = [m for m in observer.messages if 'Rolling back' in m]
    assert 'at step 2. Rolling back to step 0' in messages[1]
    assert '2 of at most 5' in messages[1]
    assert observer.steps == [1, *range(1, 15)]
    rates = {x['step']: x['learning_rate'] for x in _train_lines(tmp_path)}
    assert rates[14] < 1e-2


@pytest.mark.extended
def test_a_restarted_run_has_the_lower_rate(tmp_path):
    settings = {
        'learning_rate': FAR_TOO_LARGE,
        'save_every': '1',
        'max_rollbacks': 5,
        'rollback_factor': 1e-19,
    }
    run(tmp_path / 'whole', **settings)
    with pytest.raises(Recorder.Killed):
        run(tmp_path / 'run', Recorder(kill_after=11), **settings)
    run(tmp_path / 'run', **settings)
    assert _timeless(tmp_path / 'run') == _timeless(tmp_path / 'whole')


@pytest.mark.extended
def test_a_run_that_starts_over_has_the_given_rate(tmp_path):
    settings = {'max_steps': 5, 'max_rollbacks': 1}
    run(tmp_path / 'whole', **settings)
    with pytest.raises(RunError, match='after 1 rollbacks'):
        run(tmp_path / 'run', **settings, learning_rate=FAR_TOO_LARGE)
    assert (tmp_path / 'run' / 'rollbacks.json').exists()
    for path in [*(tmp_path / 'run').glob('model.ckpt-*'), tmp_path / 'run/checkpoint']:
        path.unlink()
    run(tmp_path / 'run', **settings)
    assert _timeless(tmp_path / 'run') == _timeless(tmp_path / 'whole')
    assert not (tmp_path / 'run' / 'rollbacks.json').exists()


@pytest.mark.extended
def test_it_is_bounded(tmp_path):
    with pytest.raises(RunError, match='after 2 rollbacks'):
        run(
            tmp_path,
            learning_rate=FAR_TOO_LARGE,
            max_rollbacks=2,
            rollback_factor=0.999,
        )
    assert len(json.loads((tmp_path / 'rollbacks.json').read_text())) == 2
    with pytest.raises(RunError, match='after 2 rollbacks'):
        run(
            tmp_path,
            learning_rate=FAR_TOO_LARGE,
            max_rollbacks=2,
            rollback_factor=0.999,
        )


def test_rollbacks_multiply(tmp_path):
    rollbacks = NanRollback(str(tmp_path), 2, 0.5)
    assert rollbacks.rate == 1.0 and rollbacks.allowed()
    rollbacks.note(NonFiniteError(7, 'loss'), 5)
    text = rollbacks.note(NonFiniteError(9, 'weights'), 8)
    assert rollbacks.rate == 0.25 and not rollbacks.allowed()
    assert 'weights are NaN or infinite at step 9' in text and 'times 0.25' in text
    assert NanRollback(str(tmp_path), 2, 0.1).rate == 0.25


def test_the_hook_in_a_bare_estimator(tmp_path):
    def model_fn(features, labels, mode):
        w = v1.get_variable('w', [], initializer=v1.ones_initializer())
        step = v1.train.get_or_create_global_step()
        loss = w + tf.reduce_sum(features['x']) * tf.where(step < 3, 0.0, math.inf)
        v1.add_to_collection('shown', ('loss', loss))
        from estimator_clf.compat import estimator

        # Else the loss may read the step before or after it is counted.
        with tf.control_dependencies([loss]):
            train_op = v1.assign_add(step, 1).op
        return estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

    with pytest.raises(NonFiniteError, match='loss is NaN or infinite at step 4'):
        bare_estimator(tmp_path, model_fn).train(
            line_input_fn(), hooks=[NanGuardHook('shown')], max_steps=9
        )


def _train_lines(directory):
    return [x for x in MetricsLog(str(directory)).read() if x['split'] == 'train']


def _timeless(directory):
    lines = MetricsLog(str(directory)).read()
    timed = ('time', 'examples_per_second', 'input_wait', 'peak_memory_mb')
    return [{k: v for k, v in x.items() if k not in timed} for x in lines]
