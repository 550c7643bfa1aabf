"""Evaluation after the checkpoints at which it is due."""

from estimator_clf.compat import estimator

import pytest

from estimator_clf.evaluation.evaluator import Evaluator
from estimator_clf.hooks.checkpoint import CheckpointHook
from estimator_clf.hooks.evaluation import EvaluationListener
from tests.helpers.small_run import bare_estimator, line_input_fn, line_model_fn


class Counting:
    """Replaces an Evaluator."""

    def __init__(self):
        self.paths = []

    def evaluate(self, path, stop=None):
        self.paths.append(path)
        return {'loss': float(len(self.paths))}


class Clock:
    def __init__(self):
        self.calls = []

    def pause(self):
        self.calls.append('pause')

    def resume(self):
        self.calls.append('resume')


def saved(listener, *calls):
    for step, final in calls:
        listener.after_save(f'model.ckpt-{step}', step, final)


def test_evaluates_due_and_last_checkpoints():
    evaluator, reports = Counting(), []
    listener = EvaluationListener(evaluator, 4, lambda *x: reports.append(x))
    saved(listener, (0, False), (2, False), (4, False), (6, False), (6, True))
    assert evaluator.paths == ['model.ckpt-4', 'model.ckpt-6']
    assert reports == [(4, {'loss': 1.0}), (6, {'loss': 2.0})]


def test_each_step_is_evaluated_once():
    evaluator = Counting()
    listener = EvaluationListener(evaluator, 2, lambda *x: None)
    saved(listener, (2, False), (4, False), (4, True), (4, True))
    assert evaluator.paths == ['model.ckpt-2', 'model.ckpt-4']


def test_interval_0_evaluates_the_last_only():
    evaluator = Counting()
    listener = EvaluationListener(evaluator, 0, lambda *x: None)
    saved(listener, (2, False), (4, False), (4, True))
    assert evaluator.paths == ['model.ckpt-4']


@pytest.mark.parametrize('known, paths', [(4, []), (2, ['model.ckpt-4'])])
def test_known_steps_are_not_evaluated_again(known, paths):
    """`after` is called in either case, with the metrics."""
    evaluator, followed = Counting(), []
    listener = EvaluationListener(
        evaluator,
        2,
        lambda *x: None,
        known={known: {'loss': 7.0}},
        after=lambda *x: followed.append(x),
    )
    saved(listener, (4, False))
    assert evaluator.paths == paths
    assert followed == [('model.ckpt-4', 4, {'loss': 1.0 if paths else 7.0})]


def test_clock_is_paused_during_evaluation():
    clock = Clock()
    listener = EvaluationListener(
        Counting(), 2, lambda *x: clock.calls.append('report'), clock=clock
    )
    saved(listener, (1, False), (2, False))
    assert clock.calls == ['pause', 'report', 'resume']


def test_in_a_bare_estimator(tmp_path):
    reports = []
    evaluator = Evaluator(line_model_fn, line_input_fn(10, 4, repeat=False))
    listener = EvaluationListener(evaluator, 3, lambda *x: reports.append(x))
    hook = CheckpointHook(str(tmp_path), [3], [listener])
    model = bare_estimator(tmp_path)
    model.train(line_input_fn(), hooks=[hook], max_steps=7)
    evaluator.close()
    assert [step for step, _ in reports] == [3, 6, 7]
    errors = [metrics['error'] for _, metrics in reports]
    assert errors[0] > errors[1] > errors[2] > 0
    last = model.evaluate(line_input_fn(10, 4, repeat=False))
    assert errors[-1] == pytest.approx(last['error'], rel=1e-6)
    assert isinstance(model, estimator.Estimator)
