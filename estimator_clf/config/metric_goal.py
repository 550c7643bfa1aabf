"""What "better" means: a metric and a direction."""

import dataclasses
import math

from estimator_clf.core.errors import ConfigError
from estimator_clf.core.registry import suggest

MODES = ('auto', 'max', 'min')

# Words in the names of metrics of which less is better.
_LESS = ('loss', 'error')


@dataclasses.dataclass(frozen=True)
class MetricGoal:
    """A metric to be made large or small.

    Attributes:
      metric: its name, as evaluation calls it.
      mode: 'max', 'min', or 'auto': 'min' for names with "loss" or "error" in them.
    """

    metric: str
    mode: str = 'auto'

    def value(self, metrics):
        """Returns the metric's value; NaN where there is none.

        Args:
          metrics: dict name -> float, as evaluation gives it. None is not finite.
        """
        value = metrics.get(self.metric)
        return math.nan if value is None else float(value)

    def better(self, one, other, by=0.0):
        """Tells whether a value is better than another by more than `by`.

        A value that is not a number is never better than anything.
        """
        if math.isnan(one):
            return False
        if math.isnan(other):
            return True
        return one < other - by if self._less() else one > other + by

    def check(self, names):
        """Raises ConfigError, with the right names, unless evaluation has the metric.

        Args:
          names: the metrics there are.
        """
        if self.metric not in names:
            listed = [name for name in names if '/' not in name] or list(names)
            raise ConfigError(
                f'`best_metric`: evaluation has no {self.metric!r}'
                f'{suggest(self.metric, names)} It has: {", ".join(sorted(listed))}'
            )

    def _less(self):
        if self.mode != 'auto':
            return self.mode == 'min'
        return any(word in self.metric for word in _LESS)
