"""Selects variables by regular expressions on their names, without TensorFlow."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from estimator_clf.core import errors


def name_of(variable: Any) -> str:
    """Returns a variable's name in checkpoints: `'cnn/conv1/kernel'`."""
    # Not `variable.op.name`, which on a second replica is the copy's. Optimizers
    # receive the copies themselves.
    return re.sub(r'/replica_\d+$', '', variable.name.partition(':')[0])


def matches(patterns: Iterable[str], name: str) -> bool:
    """Returns whether a pattern matches anywhere in the name (`re.search`)."""
    return any(re.search(pattern, name) for pattern in patterns)


def multiplier(
    multipliers: Iterable[tuple[str, float]], name: str, otherwise: float = 1.0
) -> float:
    """Returns the number of the first pattern that matches the name."""
    for pattern, number in multipliers:
        if re.search(pattern, name):
            return number
    return otherwise


def check_patterns(argument: str, patterns: Sequence[str]) -> None:
    """Raises SettingError for an invalid regular expression."""
    if isinstance(patterns, str):
        raise errors.SettingError(
            f'`{argument}` must be a list of patterns, got a string'
        )
    for pattern in patterns:
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            raise errors.SettingError(
                f'`{argument}` must be regular expressions, got {pattern!r}: {error}'
            ) from None


def check_multipliers(argument: str, pairs: Sequence[tuple[str, float]]) -> None:
    """Raises SettingError for an invalid pattern or number."""
    for pair in pairs:
        if isinstance(pair, str) or len(pair) != 2:
            raise errors.SettingError(
                f'`{argument}` must be pairs (pattern, number), got {pair!r}'
            )
    check_patterns(argument, [pattern for pattern, _ in pairs])
    for pattern, number in pairs:
        if not (number > 0 and math.isfinite(number)):
            raise errors.SettingError(
                f'`{argument}` must be above 0 and finite, got {number} for '
                f'{pattern!r}; to leave variables unchanged, use `freeze`'
            )


def check_found(argument: str, patterns: Iterable[str], names: Sequence[str]) -> None:
    """Checks that each pattern matches a name.

    Raises:
      SettingError: one matches none; the message lists the names.
    """
    for pattern in patterns:
        if not any(re.search(pattern, name) for name in names):
            raise errors.SettingError(
                f'`{argument}`: no variable has {pattern!r} in its name. There are: '
                + ', '.join(names)
            )
