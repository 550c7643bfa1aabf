"""Loss, accuracy, learning rate, speed and waiting time of the training steps."""

import time

import numpy as np
import tensorflow as tf

from estimator_clf.core.intervals import due
from estimator_clf.core.memory import peak_memory
from estimator_clf.hooks.base import StepHook

v1 = tf.compat.v1


class TrainMetricsHook(StepHook):
    """Averages the training metrics over an interval and hands them on.

    At steps that depend on the intervals alone, whatever step the run was resumed at:

        TrainMetricsHook([100, 500], 128, report, TRAIN_METRICS)  # Checkpoints every
        500.
    """

    def __init__(self, every, batch_size, report, collection, on_step=None):
        """Makes the hook.

        Args:
          every: list of intervals in steps, see `estimator_clf.core.intervals.due`.
          Those of
            the checkpoints belong to them: the sums are lost with the process, so that
            an average may not reach across the step at which a run is resumed.
          batch_size: examples per step.
          report: function (step, metrics): means over the interval of what is in the
            collection, `examples_per_second`, `peak_memory_mb`, and `input_wait`, the
            share of the time that was spent waiting for data, if it is measured.
          collection: name of the graph collection of (name, tensor): a scalar, or a
            vector of a number per step where a run is a loop of several.
          on_step: function (step), called after each step.
        """
        self._every = every
        self._batch_size = batch_size
        self._report = report
        self._collection = collection
        self._on_step = on_step

    def begin(self):
        self._tensors = dict(tuple(x) for x in v1.get_collection(self._collection))

    def on_start(self, session):
        self._seen = self.step
        self._reset()

    def before_run(self, run_context):
        return v1.train.SessionRunArgs(self._tensors)

    def after_step(self, run_context, results):
        rows = {name: np.ravel(values) for name, values in results.items()}
        for name, values in rows.items():
            # One after the other, as one step at a time would add them.
            for value in values.tolist():
                self._sums[name] = self._sums.get(name, 0.0) + value
        self._last = rows
        self._count += self.step - self._seen
        if self._on_step:
            for step in range(self._seen + 1, self.step + 1):
                self._on_step(step)
        self._seen = self.step
        if any(due(self.step, n) for n in self._every):
            self._tell()

    def end(self, session):
        if self._count:
            self._tell()

    def pause(self):
        """Leaves the time until `resume` out of the speed: it was not training."""
        self._paused_at = time.perf_counter()

    def resume(self):
        """See `pause`."""
        self._begin += time.perf_counter() - self._paused_at

    def _tell(self):
        seconds = time.perf_counter() - self._begin
        metrics = {name: total / self._count for name, total in self._sums.items()}
        if 'learning_rate' in metrics:
            metrics['learning_rate'] = float(self._last['learning_rate'][-1])
        metrics['examples_per_second'] = self._count * self._batch_size / seconds
        if 'input_wait' in metrics:
            metrics['input_wait'] = self._sums['input_wait'] / seconds
        self._report(self.step, {**metrics, **peak_memory()})
        self._reset()

    def _reset(self):
        self._sums, self._count = {}, 0
        self._begin = time.perf_counter()
