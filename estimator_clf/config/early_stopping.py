"""Early stopping: ends a run when a metric no longer improves."""

from collections.abc import Mapping

from estimator_clf.config.metric_goal import MetricGoal
from estimator_clf.core import intervals
from estimator_clf.core.errors import ConfigError

_EVALUATIONS = ('evaluations', 'evaluation', 'evals', 'eval')


class EarlyStopping:
    """Decides from evaluation results when a metric has not improved for long enough.

    Its state follows from the results alone: a restarted run passes in the earlier
    results, in order, and is where it was.
    """

    def __init__(
        self,
        goal: MetricGoal,
        patience: float,
        unit: str = 'evaluations',
        min_delta: float = 0.0,
    ):
        """Makes the criterion.

        Args:
          goal: the metric and its direction.
          patience: how long to wait after the best result.
          unit: unit of the patience: 'evaluations' or 'steps'.
          min_delta: a result counts as better if it is better by more than this.
        """
        self._goal = goal
        self._patience = patience
        self._unit = unit
        self._min_delta = min_delta
        self._best = float('nan')
        self._best_step: int | None = None
        self._since = 0

    def update(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Adds the result of an evaluation.

        Args:
          step: the global step that was evaluated.
          metrics: its metrics by name.

        Returns:
          Whether to stop.
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

    def why(self) -> str:
        """Returns the reason for the stop, as a clause."""
        return (
            f'{self._goal.metric} has not become better than {self._best:.4f} since '
            f'step {self._best_step}'
        )


def parse_patience(text: str, argument: str) -> tuple[float, str] | None:
    """Parses a patience: '5evals', or a duration of `estimator_clf.core.intervals`.

    Args:
      text: what was given.
      argument: name of the argument, for messages.

    Returns:
      (number, unit), unit one of 'evaluations', 'steps', 'epochs', '%'; None for '' and
      '0'.

    Raises:
      ConfigError: another form.
    """
    if not text or text == '0':
        return None
    for word in _EVALUATIONS:
        number = text.removesuffix(word)
        if number != text:
            if not number.strip().isdigit() or int(number) < 1:
                raise ConfigError(
                    f'`{argument}` must be a whole number of evaluations, got {text!r}'
                )
            return float(number), 'evaluations'
    return intervals.parse(text, argument)
