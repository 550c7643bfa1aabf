"""Number of steps of the next `session.run`, see `estimator_clf.training.step_loop`."""

from collections.abc import Callable, Iterable
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from estimator_clf.core.intervals import next_due

v1 = tf.compat.v1

# Maximum steps per run: `alone` is called for each, and few take less than 0.1 ms.
_MAX_STEPS = 10_000


class StepLoopHook(tf.compat.v1.train.SessionRunHook):
    """Lets a step loop run until the next step after which a hook must act.

    Made by `StepLoop.hook`. It must be the first hook: the others read the step from
    the loop. It ends the training at the last step; stock Estimator, for which a run is
    one step, would train beyond it.
    """

    def __init__(
        self,
        loop: Any,
        last_step: int,
        every: Iterable[float] = (),
        alone: Callable[[int], bool] | None = None,
        most: int | None = None,
    ) -> None:
        """Makes the hook; the arguments are those of `StepLoop.hook`."""
        self._loop = loop
        self._last_step = last_step
        self._every = [n for n in every if n]
        self._alone = alone or (lambda step: False)
        self._most = most or last_step

    def after_create_session(self, session: tf.compat.v1.Session, coord: Any) -> None:
        del coord
        self._loop.step, self._loop.runs = _global_step(session), 0
        self._begin = self._loop.step

    def before_run(self, run_context: Any) -> Any:
        loop = self._loop
        return v1.train.SessionRunArgs(
            loop.taken,
            {loop.count: self._count(), loop.done: loop.step - self._begin},
        )

    def after_run(self, run_context: Any, run_values: Any) -> None:
        self._loop.step += int(run_values.results)
        self._loop.runs += 1
        if self._loop.step >= self._last_step:
            run_context.request_stop()

    def end(self, session: tf.compat.v1.Session) -> None:
        # `after_run` is not called if the input ends in the middle of a run.
        self._loop.step = _global_step(session)

    def _count(self):
        """Maximum number of steps of the next run."""
        step = self._loop.step
        last = min(
            [step + min(self._most, _MAX_STEPS), self._last_step]
            + [next_due(step, every) for every in self._every]
        )
        for number in range(step + 1, last + 1):
            if self._alone(number):
                return max(number - 1 - step, 1)
        return max(last - step, 1)


def _global_step(session):
    return int(session.run(v1.train.get_global_step(session.graph)))
