"""The errors that are meant for the person who started the program."""

import errno
import os


class ConfigError(ValueError):
    """A setting, or settings together, that a person has to mend.

    The message names the flag, what must hold, what came, and what to do.
    """


class RunError(RuntimeError):
    """A run that cannot go on, in words for the person who started it."""


# What the system says when no more can be written.
_NO_ROOM = tuple(
    os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
)


def no_room(error):
    """Returns the system's words where an error is about a full disk, else None.

    Whoever wrote last when the disk became full, TensorFlow or Python, and whatever
    class of error that made of it: those words are in its text.

    Args:
      error: the exception.
    """
    return next((words for words in _NO_ROOM if words in str(error)), None)


def explain_restore(error):
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
            'latest --keep_checkpoints. Start again, or take --checkpoint=best'
        )
    if 'RestoreV2' not in text and 'Restoring from checkpoint failed' not in text:
        return None
    return (
        'the checkpoint cannot be restored: it is damaged, or of another network than '
        'this run has. Take another by --checkpoint, or another --model_dir'
    )
