"""Averages over intervals that do not depend on restarts."""

from estimator_clf.compat import estimator

import pytest
import tensorflow as tf

from estimator_clf.hooks import train_metrics as metrics_module
from estimator_clf.hooks.train_metrics import TrainMetricsHook
from tests.helpers.small_run import bare_estimator, line_input_fn

v1 = tf.compat.v1


def counting_model_fn(features, labels, mode):
    """The loss of step n is n; the learning rate falls; each step waited 0.25 s."""
    step = v1.train.get_or_create_global_step()
    v1.get_variable('w', [], initializer=v1.zeros_initializer())
    number = tf.cast(tf.identity(step), tf.float32) + 1.0
    for name, tensor in {
        'loss': number,
        'learning_rate': 1.0 / number,
        'input_wait': tf.constant(0.25, tf.float64),
    }.items():
        v1.add_to_collection('shown', (name, tensor))
    with tf.control_dependencies([number]):
        train_op = v1.assign_add(step, 1)
    return estimator.EstimatorSpec(mode, loss=number, train_op=train_op)


@pytest.fixture
def clock(monkeypatch):
    """Fake clock."""

    class Clock:
        now = 100.0

        def perf_counter(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(metrics_module, 'time', clock)
    return clock


def train(directory, every, steps, on_step=None):
    lines = []
    hook = TrainMetricsHook(
        every, 10, lambda *x: lines.append(x), 'shown', on_step=on_step
    )
    model = bare_estimator(directory, counting_model_fn)
    # Saves at the end; the next call resumes from there.
    saver = estimator.CheckpointSaverHook(str(directory), save_steps=1000)
    model.train(line_input_fn(), hooks=[hook, saver], max_steps=steps)
    return lines


def test_averages_over_intervals_and_the_rest(tmp_path, clock):
    def on_step(step):
        clock.now += 0.5

    lines = train(tmp_path, [4], 10, on_step)
    assert [step for step, _ in lines] == [4, 8, 10]
    assert [m['loss'] for _, m in lines] == [2.5, 6.5, 9.5]
    # Not averaged: the rate at that step.
    rates = [m['learning_rate'] for _, m in lines]
    assert rates == pytest.approx([1 / 4, 1 / 8, 1 / 10])
    assert [m['examples_per_second'] for _, m in lines] == pytest.approx([20.0] * 3)
    assert [m['input_wait'] for _, m in lines] == pytest.approx([0.5] * 3)


def test_on_step_is_called_for_every_step(tmp_path):
    steps = []
    train(tmp_path, [3], 5, steps.append)
    assert steps == [1, 2, 3, 4, 5]


def test_interval_ends_at_a_checkpoint_too(tmp_path):
    uninterrupted = train(tmp_path / 'a', [4, 6], 12)
    first = train(tmp_path / 'b', [4, 6], 6)
    second = train(tmp_path / 'b', [4, 6], 12)
    steps = [4, 6, 8, 12]
    assert [step for step, _ in uninterrupted] == steps
    assert [step for step, _ in first + second] == steps
    losses = [m['loss'] for _, m in uninterrupted]
    assert losses == [2.5, 5.5, 7.5, 10.5]
    assert [m['loss'] for _, m in first + second] == losses


def test_nothing_is_reported_twice_at_the_end(tmp_path):
    assert [step for step, _ in train(tmp_path, [5], 5)] == [5]


def test_pause_is_excluded_from_the_speed(tmp_path, clock):
    lines = []
    hook = TrainMetricsHook([4], 10, lambda *x: lines.append(x), 'shown')

    class Evaluation(v1.train.SessionRunHook):
        def after_run(self, run_context, run_values):
            clock.now += 0.5
            hook.pause()
            clock.now += 1000
            hook.resume()

    bare_estimator(tmp_path, counting_model_fn).train(
        line_input_fn(), hooks=[Evaluation(), hook], max_steps=4
    )
    assert lines[0][1]['examples_per_second'] == pytest.approx(20.0)


def test_without_a_collection_speed_and_memory_are_reported(tmp_path):
    lines = []
    hook = TrainMetricsHook([2], 4, lambda *x: lines.append(x), 'no such collection')
    bare_estimator(tmp_path).train(line_input_fn(), hooks=[hook], max_steps=2)
    ((step, metrics),) = lines
    assert step == 2 and metrics.pop('examples') == 8
    assert list(metrics) == ['examples_per_second', 'peak_memory_mb']
    assert metrics['examples_per_second'] > 0
    assert 50 < metrics['peak_memory_mb'] < 100_000
