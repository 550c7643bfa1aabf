"""The base of our hooks: it knows which step has just been taken."""

import tensorflow as tf


class StepHook(tf.compat.v1.train.SessionRunHook):
    """Counts the global step on the Python side.

    The global step fetched beside the train_op may be that of before or after it. With
    one session that trains, counting is exact, and costs no fetch.
    """

    step = 0

    def after_create_session(self, session, coord):
        del coord
        self.step = int(session.run(tf.compat.v1.train.get_global_step(session.graph)))
        self.on_start(session)

    def after_run(self, run_context, run_values):
        self.step += 1
        self.after_step(run_context, run_values.results)

    def on_start(self, session):
        """Called when the session is there and its weights are."""

    def after_step(self, run_context, results):
        """Called after each step, `self.step` of them taken.

        Args:
          run_context: SessionRunContext.
          results: what `before_run` asked for.
        """
