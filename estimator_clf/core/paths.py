"""Paths that a user gives: one answer for every setting, flag and argument.

They are paths of this machine's file system. `~` is expanded, environment variables
are not, and a path is absolute from then on.
"""

import os
import re
import stat

from estimator_clf.core.errors import ConfigError, DataError

# As TensorFlow recognizes a file system by its scheme.
_SCHEME = re.compile(r'([A-Za-z][A-Za-z0-9+.-]*)://')

_SPECIAL_FILES = (
    (stat.S_ISFIFO, 'a FIFO (named pipe)'),
    (stat.S_ISSOCK, 'a socket'),
    (stat.S_ISCHR, 'a device'),
    (stat.S_ISBLK, 'a device'),
)


def resolve_path(path: str, argument: str) -> str:
    """Returns the absolute path that a user means.

    Args:
      path: as given.
      argument: for errors, as they name it: '`data_dir`', or 'an image'.

    Raises:
      ConfigError: see `expand_path`; or the current directory was removed.
    """
    path = expand_path(path, argument)
    if not os.path.isabs(path):
        try:
            path = os.path.join(os.getcwd(), path)
        except OSError:
            raise ConfigError(
                f'{argument} must be an absolute path, since the current directory '
                f'does not exist any more, got {path!r}'
            ) from None
    # `LINK/..` is the parent of the link's target.
    if '..' in path.split(os.sep):
        path = os.path.realpath(path)
    return os.sep + os.path.normpath(path).lstrip(os.sep)


def expand_path(path: str, argument: str) -> str:
    """Expands `~` and `~user`, and checks that it can be a path of this machine.

    Args:
      path: as given.
      argument: for errors, see `resolve_path`.

    Raises:
      ConfigError: it is empty, contains a NUL character, is the URL of a file or of
        another file system, or starts with the name of a user that does not exist.
    """
    if not path.strip():
        raise ConfigError(f'{argument} must be a path, got {path!r}')
    if '\0' in path:
        raise ConfigError(f'{argument} must not contain a NUL character, got {path!r}')
    scheme = _SCHEME.match(path)
    if scheme and scheme[1].lower() == 'file':
        raise ConfigError(
            f'{argument} must be a path, not a URL, got {path!r}: write '
            f'{"/" + path[scheme.end() :].partition("/")[2]}'
        )
    if scheme:
        raise ConfigError(
            f'{argument} must be a path on this machine, got {path!r}: copy it here, '
            f'or mount {scheme[1]}:// as a file system'
        )
    expanded = os.path.expanduser(path)
    if expanded.startswith('~') and not os.path.lexists(expanded):
        raise ConfigError(
            f'{argument} must not start with ~ and a name that is no user, got '
            f'{path!r}: if that is its name, write ./{path}'
        )
    return expanded


def display_path(path: str) -> str:
    """Returns a path as a user in the current directory would write it."""
    try:
        relative = os.path.relpath(path)
    except (OSError, ValueError):  # No current directory; another drive.
        return path
    return path if relative.startswith(os.pardir) else relative


def special_file(path: str | os.PathLike[str]) -> str | None:
    """Returns what a file is if opening it may wait for ever, such as a FIFO.

    Links are followed. None: a regular file, a directory, or nothing.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return None
    return next((text for is_kind, text in _SPECIAL_FILES if is_kind(mode)), None)


def refuse_special_file(path: str | os.PathLike[str], what: str) -> None:
    """Raises DataError for a FIFO, socket or device.

    Args:
      path: the file that is to be read.
      what: what it must be, such as 'a text file'.
    """
    kind = special_file(path)
    if kind:
        raise DataError(f'{path} must be {what}, but is {kind}')


def is_open_pipe(path: str) -> bool:
    """Returns whether a path is a pipe that is open already: `<(command)`, /dev/stdin.

    Reading it waits for the command, as a user expects, but for nothing else.
    """
    if not re.match(r'/dev/(fd/\d+|stdin)$|/proc/(self|\d+)/fd/\d+$', path):
        return False
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        return False
