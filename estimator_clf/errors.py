"""The errors that are meant for the person who started the program."""


class ConfigError(ValueError):
    """A setting, or settings together, that a person has to mend.

    The message names the flag, what must hold, what came, and what to do.
    """


class RunError(RuntimeError):
    """A run that cannot go on, in words for the person who started it."""


def explain_restore(error):
    """Says what is wrong where a checkpoint could not be restored.

    Args:
      error: the exception.

    Returns:
      A sentence, or None if the error is about something else.
    """
    text = str(error)
    if 'RestoreV2' not in text and 'Restoring from checkpoint failed' not in text:
        return None
    return (
        'the checkpoint cannot be restored: it is damaged, or of another network than '
        'this run has. Take another by --checkpoint, or another --model_dir'
    )
