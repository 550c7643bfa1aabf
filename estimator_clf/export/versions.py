"""Versioned export directories: numbering, atomic creation, clean-up."""

import contextlib
import dataclasses
import errno
import os
import re
import shutil
import time
from collections.abc import Iterator

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from estimator_clf.core.errors import (
    ConfigError,
    RunError,
    disk_full_message,
    is_out_of_memory,
    restore_error_message,
)

_PARTIAL = 'partial-'  # Servers ignore directories whose name is not a number.


def list_versions(export_dir: str) -> list[str]:
    """Returns the paths of the complete exports in a directory, oldest first."""
    directories = [os.path.join(export_dir, name) for name in _numbers(export_dir)]
    return [path for path in directories if tf.saved_model.contains_saved_model(path)]


def newest_version(path: str) -> str:
    """Returns the path of a SavedModel, or of the newest one in a directory.

    Args:
      path: directory of a SavedModel, or of versions.

    Raises:
      ConfigError: there is no SavedModel.
    """
    if tf.saved_model.contains_saved_model(path):
        return path
    found = list_versions(path)
    if not found:
        raise ConfigError(f'`export_dir` must hold a SavedModel, but {path} has none')
    return found[-1]


@dataclasses.dataclass
class Version:
    """A version that is being written.

    Attributes:
      partial: path to write to.
      path: final path; '' until the version is complete.
    """

    partial: str
    path: str = ''


@contextlib.contextmanager
def new_version(export_dir: str) -> Iterator[Version]:
    """Creates a version atomically; an exception removes what was written.

    Args:
      export_dir: directory of the versions, created if missing.
    """
    number = _next_version(export_dir)
    partial = os.path.join(export_dir, f'{_PARTIAL}{number}-{os.getpid()}')
    version = Version(partial)
    try:
        os.makedirs(export_dir, exist_ok=True)
        _remove_abandoned(export_dir)
        yield version
        version.path = _rename(partial, export_dir)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextlib.contextmanager
def exported(export_dir: str, checkpoint: str) -> Iterator[Version]:
    """Creates a version of a checkpoint, with errors translated for the user.

    Args:
      export_dir: see `new_version`.
      checkpoint: path prefix, for the messages.

    Raises:
      RunError: the version could not be written, or the checkpoint not restored.
    """
    try:
        with new_version(export_dir) as version:
            yield version
    except OSError as error:
        raise RunError(
            f'`export_dir={export_dir}`: {error.strerror or error}; choose another '
            'directory'
        ) from None
    except (tf.errors.OpError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        if message := disk_full_message(error):
            raise RunError(
                f'`export_dir={export_dir}`: {message}; free some space, or choose '
                'another directory'
            ) from None
        text = restore_error_message(error)
        if text is None:
            raise
        raise RunError(f'{checkpoint}: {text}') from None


def _numbers(directory: str) -> list[str]:
    """Returns the names in a directory that are whole numbers, in numeric order."""
    names = os.listdir(directory) if os.path.isdir(directory) else []
    return sorted((n for n in names if n.isascii() and n.isdecimal()), key=int)


def _next_version(export_dir: str) -> int:
    # Any file or directory with a numeric name occupies its number.
    return max([int(time.time()), *(int(n) + 1 for n in _numbers(export_dir)[-1:])])


def _rename(partial: str, export_dir: str) -> str:
    """Renames a complete export to the next number; returns its path."""
    while True:
        target = os.path.join(export_dir, str(_next_version(export_dir)))
        try:
            os.rename(partial, target)
        except OSError as error:
            # A concurrent export has just taken the number.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return target


def _remove_abandoned(export_dir: str) -> None:
    """Removes partial exports of processes that do not exist any more."""
    for name in os.listdir(export_dir):
        match = re.fullmatch(_PARTIAL + r'\d+-(\d+)', name)
        if match and not _is_running(int(match[1])):
            shutil.rmtree(os.path.join(export_dir, name), ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # A process of another user.
    return pid != os.getpid()
