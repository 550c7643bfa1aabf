"""How many steps the next `session.run` takes, see `estimator_clf.training.step_loop`."""

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import tensorflow as tf

from estimator_clf.core.intervals import next_due

v1 = tf.compat.v1

# Steps of a run at the most: each is asked about, and few take less than 0.1 ms.
_MOST = 10_000


class StepLoopHook(v1.train.SessionRunHook):
    """Lets a loop run as far as the next step behind which something is to happen.

    Made by `StepLoop.hook`. It must be the first hook: the others ask the loop which
    step
    it has come to. It ends the training at the last step, which stock Estimator,
    for which a run is one step, would go past.
    """

    def __init__(self, loop, last_step, every=(), alone=None, most=None):
        """Makes the hook; the arguments are those of `StepLoop.hook`."""
        self._loop = loop
        self._last_step = last_step
        self._every = [n for n in every if n]
        self._alone = alone or (lambda step: False)
        self._most = most or last_step

    def after_create_session(self, session, coord):
        del coord
        self._loop.step, self._loop.runs = _global_step(session), 0
        self._begin = self._loop.step

    def before_run(self, run_context):
        loop = self._loop
        return v1.train.SessionRunArgs(
            loop.taken,
            {loop.count: self._count(), loop.done: loop.step - self._begin},
        )

    def after_run(self, run_context, run_values):
        self._loop.step += int(run_values.results)
        self._loop.runs += 1
        if self._loop.step >= self._last_step:
            run_context.request_stop()

    def end(self, session):
        # Where the input has ended in the middle of a run, nobody was told.
        self._loop.step = _global_step(session)

    def _count(self):
        """How many steps the next run takes at the most."""
        step = self._loop.step
        last = min(
            [step + min(self._most, _MOST), self._last_step]
            + [next_due(step, every) for every in self._every]
        )
        for number in range(step + 1, last + 1):
            if self._alone(number):
                return max(number - 1 - step, 1)
        return max(last - step, 1)


def _global_step(session):
    return int(session.run(v1.train.get_global_step(session.graph)))
