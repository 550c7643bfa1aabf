"""Choosing variables by regular expressions on their names. Free of TensorFlow."""

import math
import re
from collections.abc import Iterable, Sequence

from estimator_clf.core import errors


def name_of(variable) -> str:
    """A variable's name as checkpoints have it: `'cnn/conv1/kernel'`."""
    # Not `variable.op.name`, which on a second replica is the copy's. An optimizer is
    # given the copies themselves.
    return re.sub(r'/replica_\d+$', '', variable.name.partition(':')[0])


def matches(patterns: Iterable[str], name: str) -> bool:
    """Whether one of the patterns is found somewhere in the name (`re.search`)."""
    return any(re.search(pattern, name) for pattern in patterns)


def multiplier(
    multipliers: Iterable[tuple[str, float]], name: str, otherwise: float = 1.0
) -> float:
    """The number of the first pattern that is found in the name."""
    for pattern, number in multipliers:
        if re.search(pattern, name):
            return number
    return otherwise


def parse_patterns(argument: str, text: str) -> tuple[str, ...]:
    """Reads `'conv1,conv2'`. A pattern cannot hold a comma.

    Raises:
        SettingError: something that is no regular expression.
    """
    patterns = tuple(part for part in map(str.strip, text.split(',')) if part)
    check_patterns(argument, patterns)
    return patterns


def parse_multipliers(argument: str, text: str) -> tuple[tuple[str, float], ...]:
    """Reads `'conv1:0.1,logits:10'`; the number stands behind the last colon.

    Raises:
        SettingError: something that is not written so.
    """
    pairs = []
    for part in filter(None, map(str.strip, text.split(','))):
        pattern, colon, number = part.rpartition(':')
        try:
            pairs.append((pattern.strip(), float(number)))
        except ValueError:
            colon = ''
        if not colon or not pattern.strip():
            raise errors.SettingError(
                f'`{argument}` must be written PATTERN:NUMBER, as in conv1:0.1, got {part!r}'
            )
    check_multipliers(argument, pairs)
    return tuple(pairs)


def check_patterns(argument: str, patterns: Sequence[str]) -> None:
    """Raises SettingError for what is no regular expression."""
    if isinstance(patterns, str):
        raise errors.SettingError(
            f'`{argument}` must be a list of patterns, got a text'
        )
    for pattern in patterns:
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            raise errors.SettingError(
                f'`{argument}` must be regular expressions, got {pattern!r}: {error}'
            ) from None


def check_multipliers(argument: str, pairs: Sequence[tuple[str, float]]) -> None:
    """Raises SettingError for a pattern or a number that cannot be used."""
    for pair in pairs:
        if isinstance(pair, str) or len(pair) != 2:
            raise errors.SettingError(
                f'`{argument}` must be pairs (pattern, number), got {pair!r}'
            )
    check_patterns(argument, [pattern for pattern, _ in pairs])
    for pattern, number in pairs:
        if not (number > 0 and math.isfinite(number)):
            raise errors.SettingError(
                f'`{argument}` must be above 0 and finite, got {number} for {pattern!r}; to '
                'keep variables as they are, use `freeze`'
            )


def check_found(argument: str, patterns: Iterable[str], names: Sequence[str]) -> None:
    """Makes sure that each pattern is found in a name: one that is not is a mistake.

    Raises:
        SettingError: it is not; the message lists the names.
    """
    for pattern in patterns:
        if not any(re.search(pattern, name) for name in names):
            raise errors.SettingError(
                f'`{argument}`: no variable has {pattern!r} in its name. There are: '
                + ', '.join(names)
            )
