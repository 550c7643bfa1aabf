"""Evaluation while training: after the checkpoints whose turn it is."""

from estimator_clf.core.intervals import due


class EvaluationListener:
    """Evaluates a checkpoint at intervals counted from step 0, and the last one.

    Give it to `CheckpointHook`, whose intervals must contain this one.
    """

    def __init__(
        self, evaluator, every, report, known=None, after=None, clock=None, stop=False
    ):
        """Makes the listener.

        Args:
          evaluator: `estimator_clf.evaluation.evaluator.Evaluator`.
          every: interval in steps; 0: the last checkpoint only.
          report: function (step, metrics), called after each evaluation.
          known: dict step -> metrics, of what the run before has evaluated already.
          after: function (path, step, metrics), called after `report`; for a step that
            is known, in case the run before was killed between the two, instead of it.
          clock: what measures the speed of training, such as `TrainMetricsHook`: its
            `pause()` and `resume()` enclose each evaluation.
          stop: when this becomes true, evaluation waits for the next run.
        """
        self._evaluator = evaluator
        self._every = every
        self._report = report
        self._known = dict(known or {})
        self._after = after
        self._clock = clock
        self._stop = stop

    def after_save(self, path, step, final):
        """Evaluates, if it is this checkpoint's turn and it was not done yet."""
        turn = final or due(step, self._every)
        if self._stop or not turn:
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
