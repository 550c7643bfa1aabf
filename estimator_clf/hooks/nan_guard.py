"""The guard against a loss that is not finite any more."""

from estimator_clf.compat import estimator

import numpy as np
import tensorflow as tf

from estimator_clf.hooks.base import StepHook


class NonFiniteError(estimator.NanLossDuringTrainingError):
    """The loss, or the weights, became NaN or infinite.

    Attributes:
      step: the step after which it was so.
      what: 'loss' or 'weights'.
    """

    def __init__(self, step, what):
        super().__init__(f'the {what} of step {step}')
        self.step = step
        self.what = what

    def __str__(self):
        verb = 'is' if self.what == 'loss' else 'are'
        return f'the {self.what} {verb} NaN or infinite at step {self.step}'


class NanGuardHook(StepHook):
    """Ends the training, by name of the step, when the loss is not finite.

    Stock Estimator does end it, but does not say at which step.

        est.train(input_fn, hooks=[NanGuardHook('train_metrics')])
    """

    def __init__(self, collection):
        """Makes the hook.

        Args:
          collection: name of the graph collection of (name, scalar tensor), one of
            which is 'loss'; without one the hook does nothing.
        """
        self._collection = collection

    def begin(self):
        found = dict(
            tuple(pair) for pair in tf.compat.v1.get_collection(self._collection)
        )
        self._fetches = {name: t for name, t in found.items() if name == 'loss'}

    def before_run(self, run_context):
        return tf.compat.v1.train.SessionRunArgs(self._fetches)

    def after_step(self, run_context, results):
        # A loop ends behind the first that is not.
        if not np.all(np.isfinite(results.get('loss', 0.0))):
            raise NonFiniteError(self.step, 'loss')
