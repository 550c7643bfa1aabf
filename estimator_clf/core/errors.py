"""Errors caused by the user's input, with messages meant for the user."""

import contextlib
import errno
import os
from collections.abc import Iterable

from estimator_clf.core.registry import suggest


class UserError(Exception):
    """Base class of errors whose message is all that a user needs.

    The message says what must hold, what was given and what to do. Programs under
    `launch/` print it without a traceback and exit with a non-zero code.
    """


class ConfigError(UserError, ValueError):
    """An invalid setting, or an invalid combination of settings."""


class DataError(UserError, ValueError):
    """Invalid data on disk, or an invalid option about it."""


class SettingError(UserError, ValueError):
    """An invalid setting of a network, head or optimizer."""


class RunError(UserError, RuntimeError):
    """A run that cannot continue: full disk, non-finite loss, failed export check."""


# What the system says when no more can be written.
_NO_ROOM = tuple(
    os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
)


def disk_full_message(error):
    """Returns the system's words where an error is about a full disk, else None.

    Whoever wrote last when the disk became full, TensorFlow or Python, and whatever
    class of error that made of it: those words are in its text.

    Args:
      error: the exception.
    """
    return next((words for words in _NO_ROOM if words in str(error)), None)


def restore_error_message(error):
    """Says what is wrong where a checkpoint could not be restored.

    Args:
      error: the exception.

    Returns:
      A sentence, or None if the error is about something else.
    """
    text = str(error)
    gone = 'save_path is not a valid checkpoint', 'Failed to find any matching files'
    if any(words in text for words in gone):
        return (
            'the checkpoint is not there any more; a training that goes on keeps its '
            'latest `keep_checkpoints`. Start again, or take `checkpoint=best`'
        )
    if 'RestoreV2' not in text and 'Restoring from checkpoint failed' not in text:
        return None
    return (
        'the checkpoint cannot be restored: it is corrupt, or of another network than '
        'this run has. Take another by `checkpoint`, or another `model_dir`'
    )


def unknown(
    argument: str, what: str, name: object, known: Iterable[str]
) -> SettingError:
    """Returns the error for a name that does not exist, with the nearest known name.

    Args:
      argument: name of the argument that carried it, such as `'network'`.
      what: what it should name, in one word: `'network'`.
      name: what was given.
      known: the valid names, as `name` or `name=default`.

    Returns:
      The error, for the caller to raise, so that the traceback ends there.
    """
    known = list(known)
    near = suggest(name, [item.partition('=')[0] for item in known]) or '.'
    listed = ', '.join(known) or 'none'
    return SettingError(f'`{argument}`: no {what} {name!r}{near} There are: {listed}')


@contextlib.contextmanager
def for_argument(argument: str):
    """Rewords errors about `network` and its settings for another network's argument."""
    try:
        yield
    except SettingError as error:
        text = str(error).replace('`network', f'`{argument}')
        raise SettingError(text) from None
