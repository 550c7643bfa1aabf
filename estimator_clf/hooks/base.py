"""The base of our hooks: it knows which step has just been taken."""

import tensorflow as tf

from estimator_clf.core.graph_collections import STEP_LOOP


class StepHook(tf.compat.v1.train.SessionRunHook):
    """Knows the global step on the Python side.

    The global step fetched beside the train_op may be that of before or after it. With
    one session that trains, counting is exact, and costs no fetch. Where a run is a
    loop of several steps (`estimator_clf.training.step_loop`), the loop does the
    counting.
    """

    _step = 0
    _loop = None

    @property
    def step(self):
        """Number of steps taken."""
        return self._loop.step if self._loop else self._step

    def after_create_session(self, session, coord):
        del coord
        loops = session.graph.get_collection(STEP_LOOP)
        self._loop, self._runs = loops[0] if loops else None, 0
        step = session.run(tf.compat.v1.train.get_global_step(session.graph))
        self._step = int(step)
        if self._loop:
            self._loop.step = self._step
        self.on_start(session)

    def after_run(self, run_context, run_values):
        self._step += 1
        self._runs += 1
        if self._loop and self._loop.runs != self._runs:
            raise RuntimeError(
                f'{type(self).__name__} was told of a run before the loop was: give '
                '`StepLoop.hook(...)` to `train`, before all other hooks'
            )
        self.after_step(run_context, run_values.results)

    def on_start(self, session):
        """Called when the session is there and its weights are."""

    def after_step(self, run_context, results):
        """Called after each run, which is a step, or several in a loop.

        Args:
          run_context: SessionRunContext.
          results: what `before_run` asked for.
        """
