"""Rewords absl's errors about flags, with their place in a flagfile.

Flags of earlier versions are answered with the flag that replaces them.
"""

import re
import shlex
from collections.abc import Mapping, Sequence

from estimator_clf.config.upgrade import MOVED, RENAMED, upgrade


def message_of(
    error: Exception, argv: Sequence[str], places: Mapping[str, str] | None = None
) -> str:
    """Returns what must hold, what was given, and where.

    Args:
      error: raised while absl parsed the flags.
      argv: the command line.
      places: file and line of the flags that are in a flagfile, by name.
    """
    text = str(error).replace('ERROR:: ', '')
    # flag --batch_size=0: must be at least 1, got 0
    match = re.match(r'flag --(\w+)=.*?: (.*)', text, re.DOTALL)
    if match:
        text = f'--{match[1]} {_requirement(match[2])}'
        value = re.match(r'flag --\w+=(.*?): value should be', str(error), re.DOTALL)
        if value:
            text += f', got {value[1]!r}'
    name = getattr(error, 'flagname', None) or (match and match[1])
    if name:
        text = _replacement(name, argv) or text
    place = name and places and places.get(name)
    return f'{place}: {text}' if place else text


def _requirement(text):
    """absl's words about a value, as what must hold and what was given."""
    if text.endswith('must have a value other than None.'):
        return 'is required'
    for pattern, requirement in (
        (r"could not convert string to float: ('.*')", 'must be a number'),
        (r"invalid literal for int\(\).*: ('.*')", 'must be a whole number'),
        (r'(.*) is not a positive integer', 'must be at least 1'),
        (r'value should be one of <(.*)>', 'must be one of'),
        (r"\('Non-boolean argument to boolean flag', (.*)\)", 'must be true or false'),
    ):
        match = re.match(pattern, text)
        if match and requirement.endswith('of'):
            return f'{requirement} {match[1].replace("|", ", ")}'
        if match:
            return f'{requirement}, got {match[1]}'
    return text


def _replacement(name, argv):
    """The flag of this version for one of an earlier version, or None."""
    if name in RENAMED:
        return f'--{name} is called --{RENAMED[name]} now'
    if name not in MOVED:
        return None
    target = MOVED[name][0]
    given = {}
    for argument in argv[1:]:
        match = re.fullmatch(r'--?(\w+)=(.*)', argument, re.DOTALL)
        if match:
            given[match[1]] = match[2]
    settings = {target: given.get(target, 'NAME')}
    settings.update(
        (n, given[n]) for n in MOVED if n in given and MOVED[n][0] == target
    )
    if name not in given:
        return f'--{name} is an option of --{target} now: --{target}=NAME(key=value)'
    written = shlex.quote(str(upgrade(settings)[target]))
    return f'--{name} is an option of --{target} now: write --{target}={written}'
