"""CheckpointHook in a bare Estimator and a bare session."""

import os

from estimator_clf.compat import estimator

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.hooks.checkpoint import CheckpointHook
from tests.helpers.small_run import bare_estimator, line_input_fn, line_model_fn

v1 = tf.compat.v1


class Listener:
    def __init__(self):
        self.calls = []

    def after_save(self, path, step, final):
        # The checkpoint is complete: the weights can be read.
        assert int(tf.train.load_variable(path, 'global_step')) == step
        self.calls.append((step, final))


def saved_steps(directory):
    state = tf.train.get_checkpoint_state(str(directory))
    return [int(p.rpartition('-')[2]) for p in state.all_model_checkpoint_paths]


def test_saves_at_intervals_from_step_0_and_at_the_end(tmp_path):
    listener = Listener()
    hook = CheckpointHook(str(tmp_path), [3, 2.5], [listener])
    bare_estimator(tmp_path).train(line_input_fn(), hooks=[hook], max_steps=7)
    assert [s for s, final in listener.calls if not final] == [0, 3, 5, 6, 7]
    assert [s for s, final in listener.calls if final] == [7]
    assert listener.calls[-1] == (7, True)
    assert saved_steps(tmp_path) == [0, 3, 5, 6, 7]
    assert not [n for n in os.listdir(tmp_path) if n.endswith('.meta')]


def test_resumed_run_saves_at_the_steps_of_an_uninterrupted_one(tmp_path):
    listener = Listener()
    model = bare_estimator(tmp_path)
    model.train(
        line_input_fn(), hooks=[CheckpointHook(str(tmp_path), [3])], max_steps=4
    )
    hook = CheckpointHook(str(tmp_path), [3], [listener])
    model.train(line_input_fn(), hooks=[hook], max_steps=9)
    # First the restored one, whose listeners the previous run may not have called.
    assert listener.calls == [(4, False), (6, False), (9, False), (9, True)]
    assert saved_steps(tmp_path) == [0, 3, 4, 6, 9]


def test_listeners_are_called_in_order(tmp_path):
    order = []

    class Named:
        def __init__(self, name):
            self.name = name

        def after_save(self, path, step, final):
            order.append(self.name)

    hook = CheckpointHook(str(tmp_path), [0], [Named('a'), Named('b')])
    bare_estimator(tmp_path).train(line_input_fn(), hooks=[hook], max_steps=1)
    assert order == ['a', 'b'] * 3  # Step 0, step 1, the end.


def test_old_checkpoints_are_deleted_after_a_restart(tmp_path):
    config = estimator.RunConfig(
        save_checkpoints_steps=None, save_checkpoints_secs=None, keep_checkpoint_max=2
    )
    model = estimator.Estimator(line_model_fn, str(tmp_path), config)
    for last in (3, 6):
        hook = CheckpointHook(str(tmp_path), [1])
        model.train(line_input_fn(), hooks=[hook], max_steps=last)
    assert saved_steps(tmp_path) == [5, 6]
    assert sorted(n for n in os.listdir(tmp_path) if n.endswith('.index')) == [
        'model.ckpt-5.index',
        'model.ckpt-6.index',
    ]


def test_failing_step_saves_nothing_at_the_end(tmp_path):
    class Failing(v1.train.SessionRunHook):
        count = 0

        def after_run(self, run_context, run_values):
            self.count += 1
            if self.count == 5:
                raise RuntimeError('killed')

    hooks = [CheckpointHook(str(tmp_path), [3]), Failing()]
    with pytest.raises(RuntimeError, match='killed'):
        bare_estimator(tmp_path).train(line_input_fn(), hooks=hooks, max_steps=9)
    assert saved_steps(tmp_path) == [0, 3]


def exploding_model_fn(features, labels, mode):
    """Weights become infinite at the fourth step, with a loss that is still finite."""
    w = v1.get_variable('w', [], initializer=v1.constant_initializer(0.5))
    step = v1.train.get_or_create_global_step()
    grown = tf.cond(step < 3, lambda: w, lambda: w + np.float32('inf'))
    with tf.control_dependencies([grown]):  # It reads the step.
        train_op = tf.group(w.assign(grown), v1.assign_add(step, 1))
    with tf.control_dependencies([tf.identity(w)]):
        loss = tf.constant(1.0)
    return estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)


@pytest.mark.parametrize('every', [2, 100])
def test_non_finite_weights_are_not_saved(tmp_path, every):
    hook = CheckpointHook(str(tmp_path), [every])
    model = bare_estimator(tmp_path, exploding_model_fn)
    with pytest.raises(estimator.NanLossDuringTrainingError):
        model.train(line_input_fn(), hooks=[hook], max_steps=4)
    last = tf.train.latest_checkpoint(str(tmp_path))
    assert np.isfinite(tf.train.load_variable(last, 'w'))
    assert saved_steps(tmp_path) == ([0, 2] if every == 2 else [0])


def test_model_without_trainable_variables(tmp_path):
    def model_fn(features, labels, mode):
        step = v1.train.get_or_create_global_step()
        return estimator.EstimatorSpec(
            mode, loss=tf.constant(0.0), train_op=v1.assign_add(step, 1)
        )

    hook = CheckpointHook(str(tmp_path), [2])
    bare_estimator(tmp_path, model_fn).train(line_input_fn(), hooks=[hook], max_steps=3)
    assert saved_steps(tmp_path) == [0, 2, 3]


def test_in_a_monitored_session_without_estimator(tmp_path):
    with tf.Graph().as_default():
        step = v1.train.get_or_create_global_step()
        add = v1.assign_add(step, 1)
        hooks = [CheckpointHook(str(tmp_path), [2]), v1.train.StopAtStepHook(5)]
        with v1.train.MonitoredTrainingSession(hooks=hooks) as session:
            while not session.should_stop():
                session.run(add)
    assert saved_steps(tmp_path) == [0, 2, 4, 5]


@pytest.mark.parametrize('published', [True, False])
def test_saver_of_the_scaffold(published, tmp_path):
    def model_fn(features, labels, mode):
        spec = line_model_fn(features, labels, mode)
        saver = v1.train.Saver(max_to_keep=9, defer_build=True)
        if published:
            v1.add_to_collection(v1.GraphKeys.SAVERS, saver)
        return spec._replace(scaffold=v1.train.Scaffold(saver=saver))

    trained = bare_estimator(tmp_path, model_fn)
    hooks = [CheckpointHook(str(tmp_path), [1])]
    if not published:
        with pytest.raises(RuntimeError, match='its own saver.*saver='):
            trained.train(line_input_fn(), hooks=hooks, max_steps=8)
        return
    trained.train(line_input_fn(), hooks=hooks, max_steps=8)
    assert len(list(tmp_path.glob('*.index'))) == 9


def test_saver_argument(tmp_path):
    def model_fn(features, labels, mode):
        spec = line_model_fn(features, labels, mode)
        savers.append(v1.train.Saver(max_to_keep=3))
        return spec._replace(scaffold=v1.train.Scaffold(saver=savers[0]))

    savers = []
    hook = CheckpointHook(str(tmp_path), [1], saver=lambda: savers[0])
    bare_estimator(tmp_path, model_fn).train(line_input_fn(), hooks=[hook], max_steps=8)
    assert len(list(tmp_path.glob('*.index'))) == 3
