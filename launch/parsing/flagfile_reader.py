"""Reads flagfiles: `--flagfile=FILE` is replaced with the flags in the file.

A line is `--name=value`, or a comment that starts with `#` or `//`. A value may be in
quotes, with a comment after it; flags whose own syntax has quotes get them unchanged.
"""

import os
import re
from collections.abc import Sequence

from absl import flags

from estimator_clf.core.errors import ConfigError, DataError
from estimator_clf.core.paths import expand_path, is_open_pipe
from input.text_files import decode_lines, read_lines

FLAGS = flags.FLAGS

# Settings in the syntax of `estimator_clf.core.call_syntax`, which has quotes. A list
# may be a single item in quotes; around a whole value of the others they mean nothing.
_LISTS = frozenset(
    'classes decay_at exclude_classes freeze train_only warm_start_exclude '
    'warm_start_include'.split()
)
_CALLS = frozenset(
    'augment class_weights dataset decay_multipliers eval_tta extra_eval_sets '
    'lookahead lr_multipliers network proxy warm_start_map'.split()
)
_FLAG = re.compile(r'--?([A-Za-z]\w*)\s*(?:=\s*(.*))?', re.DOTALL)
_QUOTED = re.compile(r"""(?P<quote>["'])(?P<text>.*?)(?P=quote)(?P<rest>.*)""")
_COMMENT = re.compile(r'(?:^|\s)(#|//(?=\s|$))')


def expand(arguments: Sequence[str], places: dict[str, str]) -> list[str]:
    """Replaces `--flagfile=FILE` and `--flagfile FILE` with the flags of the file.

    Args:
      arguments: a command line; its first element is the program.
      places: receives file and line of each flag by its name, for errors.

    Raises:
      ConfigError: a file that cannot be read, or a line of another form.
    """
    return [*arguments[:1], *_expand(list(arguments[1:]), places, (), '')]


def _expand(arguments, places, files, place):
    expanded = []
    rest = iter(arguments)
    for argument in rest:
        if argument == '--':
            return [*expanded, argument, *rest]
        match = re.fullmatch(r'--?flagfile(?:=(.*))?', argument, re.DOTALL)
        if not match:
            expanded.append(argument)
            for name in _names(argument) if not files else ():
                places.pop(name, None)  # Given again on the command line.
            continue
        path = next(rest, '') if match[1] is None else match[1]
        expanded += _read(path, places, files, place)
    return expanded


def _read(path, places, files, place):
    where = f'{place}: ' if place else ''
    path = expand_path(path, f'{where}--flagfile')
    real = os.path.realpath(path)
    if real in files:
        raise ConfigError(f'{where}--flagfile={path} must not contain itself')
    found = []
    for number, line in enumerate(_lines(path, where), 1):
        here = f'{path}, line {number}'
        if not line or line.startswith(('#', '//')):
            continue
        argument = _argument(line, here)
        if re.match(r'--?flagfile=', argument):
            found += _expand([argument], places, (*files, real), here)
            continue
        found.append(argument)
        places.update(dict.fromkeys(_names(argument), here))
    return found


def _names(argument):
    """The flags that an argument may set: `--noxla` is also --xla."""
    match = re.match(r'--?(\w+)', argument)
    return {match[1], match[1].removeprefix('no')} if match else set()


def _lines(path, where):
    try:
        if is_open_pipe(path):
            with open(path, 'rb') as file:  # `--flagfile=<(command)`.
                return decode_lines(file.read(), path)
        return read_lines(path)
    except DataError as error:
        raise ConfigError(f'{where}--flagfile: {error}') from None


def _argument(line, here):
    """The argument of a line, `--name=value`."""
    match = _FLAG.fullmatch(line)
    if match is None:
        name, *rest = re.split(r'[=\s]+', line.lstrip('-'), maxsplit=1)
        if name not in FLAGS and not line.startswith('-'):
            return line  # An argument that is no flag, such as an image.
        value = rest[0] if rest else 'VALUE'
        raise ConfigError(
            f'{here}: must be --name=value, got {line!r}: write --{name}={value}'
        )
    name, value = match[1], match[2]
    if value is None:
        return f'--{name}'
    quoted = None if name in _LISTS else _QUOTED.fullmatch(value)
    rest = quoted['rest'].strip() if quoted else ''
    if quoted and (not rest or _COMMENT.match(rest)):
        value = quoted['text']
    elif name not in _LISTS | _CALLS:
        value = _plain(name, value, here, quoted)
    elif _has_comment(value):
        raise _comment_error(here, value)
    return f'--{name}={value}'


def _plain(name, value, here, quoted):
    """A value without a comment."""
    if value[:1] in ('"', "'") and not quoted:
        raise ConfigError(f'{here}: the quote {value[0]} is not closed, got {value}')
    comment = _COMMENT.search(value)
    if comment is None:
        return value
    flag = FLAGS[name] if name in FLAGS else None
    kind = flag.flag_type() if flag is not None else 'string'
    if kind != 'string' and not kind.startswith('comma'):
        return value[: comment.start()].strip()
    raise _comment_error(here, value)


def _has_comment(value):
    """Whether there is a comment sign outside of quotes."""
    return bool(_COMMENT.search(re.sub(r'"[^"]*"|\'[^\']*\'', '', value)))


def _comment_error(here, value):
    return ConfigError(
        f'{here}: a comment must be on a line of its own, got {value!r}; if it is a '
        'part of the value, put that into quotes'
    )
