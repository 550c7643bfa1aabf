"""Declaration of one setting: default, help text, checks; and the checks themselves."""

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any

from estimator_clf.core.errors import ConfigError
from estimator_clf.core.paths import resolve_path

#: Returns what must hold of a value, or None if it holds.
Check = Callable[[Any], str | None]


def setting(
    default: Any,
    text: str,
    *,
    check: Check | None = None,
    choices: Sequence[str] | None = None,
    changeable: bool = False,
    path: bool = False,
) -> Any:
    """Declares a field of a configuration, which is also a flag of the same name.

    Args:
      default: default value. None makes the setting optional.
      text: help text; names other settings in backticks.
      check: see `Check`.
      choices: the valid values.
      changeable: whether a resumed run may have another value.
      path: whether it is a path, which becomes absolute; '' is none.

    Returns:
      A dataclass field.
    """
    metadata = {
        'help': text,
        'check': check,
        'choices': choices,
        'changeable': changeable,
        'path': path,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class SettingsGroup:
    """Base class of the configurations of one concern; checks each field's value."""

    #: Heading in `--help`.
    TITLE = ''

    def __post_init__(self) -> None:
        kinds = field_types(type(self))
        for field in dataclasses.fields(self):
            value, metadata = getattr(self, field.name), field.metadata
            error = _type_error(value, kinds[field.name], field.default is None)
            if error is None and metadata['check']:
                error = metadata['check'](value)
            if (
                error is None
                and metadata['choices']
                and value not in metadata['choices']
            ):
                error = 'must be one of ' + ', '.join(metadata['choices'])
            if error:
                raise ConfigError(f'`{field.name}` {error}, got {value!r}')
            if metadata['path'] and value:
                path = resolve_path(value, f'`{field.name}`')
                object.__setattr__(self, field.name, path)


def field_types(group: type) -> dict[str, type]:
    """Returns the type of each field of a group, without `| None`."""
    return {
        name: next(t for t in typing.get_args(hint) if t is not types.NoneType)
        if isinstance(hint, types.UnionType)
        else hint
        for name, hint in typing.get_type_hints(group).items()
    }


_TYPE_NAMES = {str: 'text', int: 'a whole number', float: 'a number', bool: 'a bool'}


def _type_error(value, kind, optional):
    if value is None and optional:
        return None
    kinds = (int, float) if kind is float else kind
    if isinstance(value, kinds) and (kind is bool) == isinstance(value, bool):
        return None
    return f'must be {_TYPE_NAMES[kind]}'


def at_least(low: float) -> Check:
    """Requires a finite number of at least `low`, or None."""
    return lambda x: _finite(x) if x is None or x >= low else f'must be at least {low}'


def above(low: float) -> Check:
    """Requires a finite number above `low`."""
    return lambda x: _finite(x) if x > low else f'must be above {low}'


def from_to_below(low: float, high: float) -> Check:
    """Requires `low <= x < high`."""
    return lambda x: None if low <= x < high else f'must be from {low} to below {high}'


def fraction(x: float) -> str | None:
    """Requires `0 < x <= 1`."""
    return None if 0 < x <= 1 else 'must be above 0 and at most 1'


def proper_fraction(x: float) -> str | None:
    """Requires `0 < x < 1`."""
    return None if 0 < x < 1 else 'must be above 0 and below 1'


def _finite(x):
    return 'must be finite' if x == math.inf else None
