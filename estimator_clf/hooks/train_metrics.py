"""Loss, accuracy, learning rate, speed and input wait of the training steps."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import numpy as np
import tensorflow as tf

from estimator_clf.core.graph_collections import TRAIN_METRICS, published
from estimator_clf.core.hardware.memory import peak_memory
from estimator_clf.core.intervals import due
from estimator_clf.hooks.base import StepHook

v1 = tf.compat.v1


class TrainMetricsHook(StepHook):
    """Averages the training metrics over an interval and reports them.

    It reports at steps that depend on the intervals alone, wherever a run was resumed:

        TrainMetricsHook([100, 500], 128, report)  # Checkpoints every 500 steps.
    """

    def __init__(
        self,
        every: Iterable[float],
        batch_size: int,
        report: Callable[[int, dict[str, float]], None],
        collection: str = TRAIN_METRICS,
        on_step: Callable[[int], None] | None = None,
    ) -> None:
        """Makes the hook.

        Args:
          every: intervals in steps, see `estimator_clf.core.intervals.due`. Include
            those of the checkpoints: sums are lost with the process, so an average
            must not span the step at which a run is resumed.
          batch_size: examples per step.
          report: function (step, metrics): averages of the collection; `examples`,
            their number; `examples_per_second`, `peak_memory_mb`, and, if measured,
            `input_wait`, the share of the time spent waiting for data.
          collection: graph collection of (name, tensor): a scalar, or a vector with one
            number per step where a `session.run` takes several steps.
          on_step: function (step), called after each step.
        """
        self._every = tuple(every)
        self._batch_size = batch_size
        self._report = report
        self._collection = collection
        self._on_step = on_step

    def begin(self) -> None:
        self._tensors = published(self._collection)

    def on_start(self, session: tf.compat.v1.Session) -> None:
        self._counted = self.step
        self._reset()

    def before_run(self, run_context: Any) -> Any:
        return v1.train.SessionRunArgs(self._tensors)

    def after_step(self, run_context: Any, results: Any) -> None:
        rows = {name: np.ravel(values) for name, values in results.items()}
        for name, values in rows.items():
            # One after the other: the rounding is that of single steps.
            for value in values.tolist():
                self._sums[name] = self._sums.get(name, 0.0) + value
        self._last = rows
        self._count += self.step - self._counted
        if self._on_step:
            for step in range(self._counted + 1, self.step + 1):
                self._on_step(step)
        self._counted = self.step
        if any(due(self.step, n) for n in self._every):
            self._report_means()

    def end(self, session: tf.compat.v1.Session) -> None:
        if self._count:
            self._report_means()

    def pause(self) -> None:
        """Excludes the time until `resume` from the speed of training."""
        self._paused_at = time.perf_counter()

    def resume(self) -> None:
        """Ends a `pause`."""
        self._begin += time.perf_counter() - self._paused_at

    def _report_means(self):
        seconds = time.perf_counter() - self._begin
        metrics = {name: total / self._count for name, total in self._sums.items()}
        if 'learning_rate' in metrics:
            metrics['learning_rate'] = float(self._last['learning_rate'][-1])
        metrics['examples'] = self._count * self._batch_size
        metrics['examples_per_second'] = self._count * self._batch_size / seconds
        if 'input_wait' in metrics:
            metrics['input_wait'] = self._sums['input_wait'] / seconds
        self._report(self.step, {**metrics, **peak_memory()})
        self._reset()

    def _reset(self):
        self._sums: dict[str, float] = {}
        self._count = 0
        self._begin = time.perf_counter()
