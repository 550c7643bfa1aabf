"""A metric to maximize or minimize."""

import dataclasses
import math
from collections.abc import Collection, Mapping

from estimator_clf.core.errors import ConfigError
from estimator_clf.core.registry import suggest

MODES = ('auto', 'max', 'min')

# Words in the names of metrics that are minimized.
_MINIMIZED = ('loss', 'error')


@dataclasses.dataclass(frozen=True)
class MetricGoal:
    """A metric and the direction in which it improves.

    Attributes:
      metric: its name in the results of an evaluation.
      mode: 'max', 'min', or 'auto': 'min' for names with "loss" or "error" in them.
    """

    metric: str
    mode: str = 'auto'

    def value(self, metrics: Mapping[str, float | None]) -> float:
        """Returns the metric's value; NaN where it is missing or None (not finite)."""
        value = metrics.get(self.metric)
        return math.nan if value is None else float(value)

    def better(self, one: float, other: float, by: float = 0.0) -> bool:
        """Returns whether a value is better than another by more than `by`.

        NaN is not better than anything.
        """
        if math.isnan(one):
            return False
        if math.isnan(other):
            return True
        return one < other - by if self._minimized() else one > other + by

    def check(self, names: Collection[str]) -> None:
        """Raises ConfigError, with the valid names, if evaluation lacks the metric.

        Args:
          names: the metrics of an evaluation.
        """
        if self.metric not in names:
            listed = [name for name in names if '/' not in name] or list(names)
            raise ConfigError(
                f'`best_metric`: evaluation has no {self.metric!r}'
                f'{suggest(self.metric, names)} It has: {", ".join(sorted(listed))}'
            )

    def _minimized(self):
        if self.mode != 'auto':
            return self.mode == 'min'
        return any(word in self.metric for word in _MINIMIZED)
