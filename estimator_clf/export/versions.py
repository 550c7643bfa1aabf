"""The directory of the versions: numbers, and what is not yet a version."""

import contextlib
import dataclasses
import errno
import os
import re
import shutil
import time

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import tensorflow as tf

from estimator_clf.core.errors import (
    ConfigError,
    RunError,
    disk_full_message,
    restore_error_message,
)

_PARTIAL = 'partial-'  # No server takes a directory for a version that is no number.


def versions(export_dir):
    """Returns the whole exports in a directory: paths, oldest first."""
    directories = [os.path.join(export_dir, name) for name in _numbers(export_dir)]
    return [path for path in directories if tf.saved_model.contains_saved_model(path)]


def newest(path):
    """Returns the SavedModel that a path stands for.

    Args:
      path: its directory, or the directory of its versions, of which the last counts.

    Raises:
      ConfigError: there is none.
    """
    if tf.saved_model.contains_saved_model(path):
        return path
    found = versions(path)
    if not found:
        raise ConfigError(f'`export_dir` must hold a SavedModel, but {path} has none')
    return found[-1]


@dataclasses.dataclass
class Version:
    """A version that is being written.

    Attributes:
      partial: path to write into.
      path: where it is once it is whole; None before.
    """

    partial: str
    path: str | None = None


@contextlib.contextmanager
def new_version(export_dir):
    """A directory to write into, which becomes a version if all goes well, else goes.

    Args:
      export_dir: directory of the versions; made if need be.

    Yields:
      `Version`.
    """
    number = _next_version(export_dir)
    partial = os.path.join(export_dir, f'{_PARTIAL}{number}-{os.getpid()}')
    version = Version(partial)
    try:
        os.makedirs(export_dir, exist_ok=True)
        _remove_partial(export_dir)
        yield version
        version.path = _renamed(partial, export_dir)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextlib.contextmanager
def exported(export_dir, checkpoint):
    """`new_version` for what is made of a checkpoint, its mistakes said in words.

    Args:
      export_dir: see `new_version`.
      checkpoint: path prefix, for the messages.

    Yields:
      As `new_version`.

    Raises:
      RunError: it could not be written, or the checkpoint not be restored.
    """
    try:
        with new_version(export_dir) as version:
            yield version
    except OSError as error:
        raise RunError(
            f'`export_dir={export_dir}`: {error.strerror or error}; name another'
        ) from None
    except (tf.errors.OpError, ValueError) as error:
        if words := disk_full_message(error):
            raise RunError(
                f'`export_dir={export_dir}`: {words}; make room, or name another'
            ) from None
        text = restore_error_message(error)
        if text is None:
            raise
        raise RunError(f'{checkpoint}: {text}') from None


def _numbers(directory):
    """The names in a directory that are whole numbers, the lowest first."""
    names = os.listdir(directory) if os.path.isdir(directory) else []
    return sorted((n for n in names if n.isascii() and n.isdecimal()), key=int)


def _next_version(export_dir):
    # Whatever has such a name, the number is taken.
    return max([int(time.time()), *(int(n) + 1 for n in _numbers(export_dir)[-1:])])


def _renamed(partial, export_dir):
    """Gives an export its number; returns its path."""
    while True:
        target = os.path.join(export_dir, str(_next_version(export_dir)))
        try:
            os.rename(partial, target)
        except OSError as error:
            # Another export has taken the number just now.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return target


def _remove_partial(export_dir):
    """Removes what exports that were killed have left; not those under way."""
    for name in os.listdir(export_dir):
        match = re.fullmatch(_PARTIAL + r'\d+-(\d+)', name)
        if match and not _alive(int(match[1])):
            shutil.rmtree(os.path.join(export_dir, name), ignore_errors=True)


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # Somebody else's.
    return pid != os.getpid()
