"""Which of the versions in a directory are to be served."""

import dataclasses

from estimator_clf.core.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Policy:
    """Which versions are wanted, as Serving's `ServableVersionPolicy` says it.

    Attributes:
      latest: how many of the highest numbers.
      every: all there are, whatever `latest` says.
      specific: frozenset of numbers, instead of `latest`.
    """

    latest: int = 1
    every: bool = False
    specific: frozenset = frozenset()

    def wanted(self, numbers, labels):
        """Returns the numbers to serve.

        Args:
          numbers: iterable of those that exist.
          labels: dict label -> number; what has a label is served too.

        Returns:
          set of int.
        """
        numbers = sorted(numbers)
        labelled = set(labels.values()) & set(numbers)
        if self.every:
            return set(numbers)
        if self.specific:
            return (set(self.specific) & set(numbers)) | labelled
        return set(numbers[-self.latest :]) | labelled


def parse_labels(text):
    """Reads 'stable:3,canary:4'.

    Returns:
      dict label -> number.

    Raises:
      ConfigError: it is written in some other way.
    """
    labels = {}
    for part in text.split(',') if text else ():
        label, colon, number = part.strip().rpartition(':')
        if not colon or not label or not (number.isascii() and number.isdecimal()):
            raise ConfigError(
                f"`version_labels` must be such as 'stable:3,canary:4', got {text!r}"
            )
        labels[label] = int(number)
    return labels
