"""SessionRunHooks, each usable with a bare Estimator."""

from estimator_clf.hooks.base import StepHook
from estimator_clf.hooks.checkpoint import CheckpointHook
from estimator_clf.hooks.evaluation import EvaluationListener
from estimator_clf.hooks.example_keys import ExampleKeysHook
from estimator_clf.hooks.input_samples import InputSamplesHook
from estimator_clf.hooks.nan_guard import NanGuardHook, NonFiniteError
from estimator_clf.hooks.profile import ProfileHook
from estimator_clf.hooks.step_loop import StepLoopHook
from estimator_clf.hooks.train_metrics import TrainMetricsHook

__all__ = [
    'CheckpointHook',
    'EvaluationListener',
    'ExampleKeysHook',
    'InputSamplesHook',
    'NanGuardHook',
    'NonFiniteError',
    'ProfileHook',
    'StepHook',
    'StepLoopHook',
    'TrainMetricsHook',
]
