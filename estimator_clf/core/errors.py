"""Errors caused by the user's input, with messages meant for the user."""

import contextlib
import errno
import os
import re
from collections.abc import Iterable, Iterator

from estimator_clf.core.registry import suggest


class UserError(Exception):
    """Base class of errors whose message is all that a user needs.

    The message states what must hold, what was given and what to do. Programs under
    `launch/` print it without a traceback and exit with `exit_code`.

    Attributes:
      exit_code: 2: the settings or the data must be changed; 1: the run cannot
        continue.
    """

    exit_code = 2


class ConfigError(UserError, ValueError):
    """An invalid setting, or an invalid combination of settings."""


class DataError(UserError, ValueError):
    """Invalid data on disk, or an invalid option about it."""


class SettingError(UserError, ValueError):
    """An invalid setting of a network, head or optimizer."""


class RunError(UserError, RuntimeError):
    """A run that cannot continue: full disk, non-finite loss, failed export check."""

    exit_code = 1


# The system's messages for a disk, quota or file that is full.
_DISK_FULL = tuple(
    os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
)


def disk_full_message(error: BaseException) -> str | None:
    """Returns the system's message if an error is about a full disk, else None.

    TensorFlow and Python raise various classes for it; all contain that message.
    """
    return next((words for words in _DISK_FULL if words in str(error)), None)


# What TensorFlow, oneDNN (status 1, which becomes an AbortedError), NumPy, XLA, the
# C++ library and the loader of shared libraries say when memory runs out.
_OUT_OF_MEMORY = re.compile(
    r'Status: 1, message|could not create a memory|bad_alloc|OOM when|MemoryError'
    r'|Unable to allocate|[Ff]ailed to allocate|[Oo]ut of memory'
    r"|can't start new thread|failed to map segment|"
    + re.escape(os.strerror(errno.ENOMEM))
)


class OutOfMemory(RunError):
    """Memory ran out; the message names what needs less."""


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an error says that memory ran out.

    TensorFlow, NumPy and Python raise various classes for it.
    """
    if isinstance(error, MemoryError | OutOfMemory):
        return True
    # Users' own errors may quote a text of any file.
    if isinstance(error, UserError) or disk_full_message(error):
        return False
    return bool(_OUT_OF_MEMORY.search(str(error)))


def restore_error_message(error: BaseException) -> str | None:
    """Explains why a checkpoint could not be restored.

    Returns:
      A sentence, or None if the error is about something else.
    """
    text = str(error)
    missing = 'save_path is not a valid checkpoint', 'Failed to find any matching files'
    if any(words in text for words in missing):
        return (
            'the checkpoint no longer exists; a training that continues retains its '
            'latest `keep_checkpoints`. Start again, or use `checkpoint=best`'
        )
    if 'RestoreV2' not in text and 'Restoring from checkpoint failed' not in text:
        return None
    return (
        'the checkpoint cannot be restored: it is corrupt, or of another network than '
        'that of this run. Use another `checkpoint`, or another `model_dir`'
    )


def unknown(
    argument: str, what: str, name: object, known: Iterable[str]
) -> SettingError:
    """Returns the error for a name that does not exist, with the nearest known name.

    Args:
      argument: name of the argument that was given, such as `'network'`.
      what: what it should name, in one word: `'network'`.
      name: the value that was given.
      known: the valid names, as `name` or `name=default`.

    Returns:
      The error, to be raised by the caller, so that the traceback ends there.
    """
    known = list(known)
    near = suggest(name, [item.partition('=')[0] for item in known]) or '.'
    listed = ', '.join(known) or 'none'
    return SettingError(f'`{argument}`: no {what} {name!r}{near} There are: {listed}')


@contextlib.contextmanager
def for_argument(argument: str) -> Iterator[None]:
    """Rewords errors about `network` and its options for another argument."""
    try:
        yield
    except SettingError as error:
        text = str(error).replace('`network', f'`{argument}')
        raise SettingError(text) from None
