"""Evaluation during training, after the checkpoints at which it is due."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from estimator_clf.core.intervals import due

Metrics = Mapping[str, float]


class PausableClock(Protocol):
    """Measures the speed of training, without the time between two calls."""

    def pause(self) -> None:
        """Stops the measurement."""

    def resume(self) -> None:
        """Continues it."""


class EvaluationListener:
    """Evaluates checkpoints at intervals counted from step 0, and the last one.

    A listener of `CheckpointHook`, whose intervals must contain this one.
    """

    def __init__(
        self,
        evaluator: Any,
        every: float,
        report: Callable[[int, Metrics], None],
        known: Mapping[int, Metrics] | None = None,
        after: Callable[[str, int, Metrics], Any] | None = None,
        clock: PausableClock | None = None,
        stop: Any = False,
    ) -> None:
        """Makes the listener.

        Args:
          evaluator: `estimator_clf.evaluation.evaluator.Evaluator`.
          every: interval in steps; 0: the last checkpoint only.
          report: function (step, metrics), called after each evaluation.
          known: metrics by step, evaluated by the previous run.
          after: function (path, step, metrics), called after `report`; for a known
            step it is called alone, in case the previous run was killed between the
            two.
          clock: excludes evaluations from the speed of training, such as
            `TrainMetricsHook`.
          stop: once true, evaluation is left to the next run.
        """
        self._evaluator = evaluator
        self._every = every
        self._report = report
        self._known = dict(known or {})
        self._after = after
        self._clock = clock
        self._stop = stop

    def after_save(self, path: str, step: int, final: bool) -> None:
        """Evaluates the checkpoint if it is due and not evaluated yet."""
        if self._stop or not (final or due(step, self._every)):
            return
        if step in self._known:
            self._follow(path, step)
            return
        if self._clock:
            self._clock.pause()
        metrics = self._evaluator.evaluate(path, self._stop)
        if metrics is not None:
            self._known[step] = metrics
            self._report(step, metrics)
            self._follow(path, step)
        if self._clock:
            self._clock.resume()

    def _follow(self, path, step):
        if self._after:
            self._after(path, step, self._known[step])
