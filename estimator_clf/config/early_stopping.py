"""Stopping when evaluation gets no better."""

from estimator_clf.core import intervals
from estimator_clf.core.errors import ConfigError

_EVALUATIONS = ('evaluations', 'evaluation', 'evals', 'eval')


class EarlyStopping:
    """Waits for a metric to get better, and says when it has waited enough.

    It is told the results of the evaluations directly. All that it knows follows from
    them, so a restarted run tells it those of the run before, in order, and it is
    where it was.
    """

    def __init__(self, goal, patience, unit='evaluations', min_delta=0.0):
        """Makes it.

        Args:
          goal: `estimator_clf.config.metric_goal.MetricGoal`.
          patience: how long to wait after the best result.
          unit: of the patience: 'evaluations' or 'steps'.
          min_delta: what counts as better is better by more than this.
        """
        self._goal = goal
        self._patience = patience
        self._unit = unit
        self._min_delta = min_delta
        self._best = float('nan')
        self._best_step = None
        self._since = 0

    def update(self, step, metrics):
        """Takes the result of an evaluation.

        Args:
          step: global step that was evaluated.
          metrics: dict name -> float.

        Returns:
          Whether it is time to stop.
        """
        value = self._goal.value(metrics)
        if self._best_step is None:
            self._best_step = step
        if self._goal.better(value, self._best, self._min_delta):
            self._best, self._best_step, self._since = value, step, 0
            return False
        self._since += 1
        waited = self._since if self._unit == 'evaluations' else step - self._best_step
        return waited >= self._patience

    def why(self):
        """Returns a sentence about the stop."""
        return (
            f'{self._goal.metric} has not become better than {self._best:.4f} since '
            f'step {self._best_step}'
        )


def parse_patience(text, flag):
    """Reads a patience: '5evals', or a duration as `estimator_clf.core.intervals` reads it.

    Returns:
      (number, unit), unit 'evaluations', 'steps', 'epochs' or '%'; None if text is
      empty or 0.

    Raises:
      ConfigError: it is none of these.
    """
    if not text or text == '0':
        return None
    for word in _EVALUATIONS:
        number = text.removesuffix(word)
        if number != text:
            if not number.strip().isdigit() or int(number) < 1:
                raise ConfigError(
                    f'`{flag}` must be a whole number of evaluations, got {text!r}'
                )
            return float(number), 'evaluations'
    return intervals.parse(text, flag)
