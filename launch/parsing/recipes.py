"""Packaged flagfiles by name: `--recipe=digits` is `--flagfile=…/digits.flags`."""

import difflib
import pathlib
import re

from estimator_clf.core.errors import ConfigError

_DIRECTORY = pathlib.Path(__file__).resolve().parents[1] / 'flagfiles'


def names() -> list[str]:
    """Returns the names of the recipes, sorted."""
    return sorted(path.stem for path in _DIRECTORY.glob('*.flags'))


def path_of(name: str) -> str:
    """Returns the path of a recipe's flagfile, wherever the package is installed.

    Raises:
      ConfigError: no recipe has this name.
    """
    there = names()
    if name not in there:
        nearest = difflib.get_close_matches(name, there, 1)
        hint = f'did you mean {nearest[0]!r}? ' if nearest else ''
        raise ConfigError(
            f'unknown --recipe={name}: {hint}it must be one of {", ".join(there)}'
        )
    return str(_DIRECTORY / f'{name}.flags')


def expand(arguments: list[str]) -> list[str]:
    """Replaces `--recipe=NAME` or `--recipe NAME` with `--flagfile=PATH`.

    Flags keep their order, so that a flag after the recipe overrides it. Arguments
    after `--` are positional and stay as they are.

    Args:
      arguments: a command line; its first element is the program.

    Raises:
      ConfigError: an unknown recipe, or no name after `--recipe`.
    """
    expanded = list(arguments[:1])
    rest = iter(arguments[1:])
    for argument in rest:
        if argument == '--':
            return [*expanded, argument, *rest]
        match = re.fullmatch(r'--?recipe(?:=(.*))?', argument, re.DOTALL)
        if match:
            name = next(rest, '') if match[1] is None else match[1]
            argument = f'--flagfile={path_of(name)}'
        expanded.append(argument)
    return expanded
