"""Base class of hooks that need the global step in Python."""

from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from estimator_clf.core.graph_collections import STEP_LOOP


class StepHook(tf.compat.v1.train.SessionRunHook):
    """Tracks the global step in Python.

    Fetched next to the train_op, the global step may be that of before or after it.
    With a single session that trains, counting is exact and needs no fetch. Where a
    `session.run` takes several steps (`estimator_clf.training.step_loop`), the loop
    counts.
    """

    _step = 0
    _loop: Any = None

    @property
    def step(self) -> int:
        """Number of steps taken."""
        return self._loop.step if self._loop else self._step

    def after_create_session(self, session: tf.compat.v1.Session, coord: Any) -> None:
        del coord
        loops = session.graph.get_collection(STEP_LOOP)
        self._loop, self._runs = loops[0] if loops else None, 0
        step = session.run(tf.compat.v1.train.get_global_step(session.graph))
        self._step = int(step)
        if self._loop:
            self._loop.step = self._step
        self.on_start(session)

    def after_run(self, run_context: Any, run_values: Any) -> None:
        self._step += 1
        self._runs += 1
        if self._loop and self._loop.runs != self._runs:
            raise RuntimeError(
                f'{type(self).__name__} was called before the hook of the step loop: '
                'pass `StepLoop.hook(...)` to `train` before all other hooks'
            )
        self.after_step(run_context, run_values.results)

    def on_start(self, session: tf.compat.v1.Session) -> None:
        """Called when the session exists and its weights are initialized."""

    def after_step(self, run_context: Any, results: Any) -> None:
        """Called after each `session.run`, which takes one step, or several in a loop.

        Args:
          run_context: `SessionRunContext`.
          results: values of the fetches of `before_run`.
        """
