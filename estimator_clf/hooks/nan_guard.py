"""Stops training when the loss is no longer finite."""

from typing import Any

from estimator_clf.compat import estimator

import numpy as np
import tensorflow as tf

from estimator_clf.core.graph_collections import TRAIN_METRICS, published
from estimator_clf.hooks.base import StepHook


class NonFiniteError(estimator.NanLossDuringTrainingError):
    """The loss, or the weights, became NaN or infinite.

    Attributes:
      step: first step after which they were not finite.
      what: 'loss' or 'weights'.
    """

    def __init__(self, step: int, what: str) -> None:
        super().__init__(f'the {what} of step {step}')
        self.step = step
        self.what = what

    def __str__(self) -> str:
        verb = 'is' if self.what == 'loss' else 'are'
        return f'the {self.what} {verb} NaN or infinite at step {self.step}'


class NanGuardHook(StepHook):
    """Raises NonFiniteError, with the step, when the loss is not finite.

    The error of stock Estimator does not name the step.

        est.train(input_fn, hooks=[NanGuardHook()])
    """

    def __init__(self, collection: str = TRAIN_METRICS) -> None:
        """Makes the hook.

        Args:
          collection: graph collection of (name, tensor), among them 'loss';
            without it the hook does nothing.
        """
        self._collection = collection

    def begin(self) -> None:
        metrics = published(self._collection)
        self._fetches = {name: t for name, t in metrics.items() if name == 'loss'}

    def before_run(self, run_context: Any) -> Any:
        return tf.compat.v1.train.SessionRunArgs(self._fetches)

    def after_step(self, run_context: Any, results: Any) -> None:
        # A step loop ends after the first loss that is not finite.
        if not np.all(np.isfinite(results.get('loss', 0.0))):
            raise NonFiniteError(self.step, 'loss')
