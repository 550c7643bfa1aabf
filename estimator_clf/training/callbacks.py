"""Callbacks through which a run reports its progress."""

from collections.abc import Iterable, Mapping

from estimator_clf.config.step_plan import StepPlan


class Callback:
    """Receives the progress of a run; does nothing by default."""

    def on_start(self, plan: StepPlan) -> None:
        """Called once, before the first step."""

    def on_step(self, step: int) -> None:
        """Called after each step."""

    def on_train(self, step: int, metrics: Mapping[str, float]) -> None:
        """Called at each logging interval, with the means over it."""

    def on_evaluate(self, step: int, split: str, metrics: Mapping[str, float]) -> None:
        """Called after each evaluation."""

    def on_stop(self, signal_name: str) -> None:
        """Called when a signal requests a stop, before the run stops."""

    def on_message(self, text: str) -> None:
        """Called with other information for the user."""


class CallbackList(Callback):
    """Passes every call on to several callbacks, in order."""

    def __init__(self, callbacks: Iterable[Callback]):
        self._callbacks = tuple(callbacks)

    def on_start(self, plan: StepPlan) -> None:
        for callback in self._callbacks:
            callback.on_start(plan)

    def on_step(self, step: int) -> None:
        for callback in self._callbacks:
            callback.on_step(step)

    def on_train(self, step: int, metrics: Mapping[str, float]) -> None:
        for callback in self._callbacks:
            callback.on_train(step, metrics)

    def on_evaluate(self, step: int, split: str, metrics: Mapping[str, float]) -> None:
        for callback in self._callbacks:
            callback.on_evaluate(step, split, metrics)

    def on_stop(self, signal_name: str) -> None:
        for callback in self._callbacks:
            callback.on_stop(signal_name)

    def on_message(self, text: str) -> None:
        for callback in self._callbacks:
            callback.on_message(text)
