"""Versioned export directories: numbering, atomic creation, clean-up."""

import contextlib
import dataclasses
import errno
import os
import time
from collections.abc import Iterator

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from estimator_clf.core.atomic_files import partial_directory
from estimator_clf.core.errors import (
    ConfigError,
    RunError,
    disk_full_message,
    is_out_of_memory,
    restore_error_message,
)


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
      partial: path to write to, which does not exist yet.
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
    os.makedirs(export_dir, exist_ok=True)
    # Servers ignore directories whose name is not a number.
    with partial_directory(export_dir) as parent:
        version = Version(os.path.join(parent, 'export'))
        yield version
        version.path = _rename(version.partial, export_dir)


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
