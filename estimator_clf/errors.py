"""The error for settings that cannot be."""


class ConfigError(ValueError):
    """A setting, or settings together, that a person has to mend.

    The message names the flag, what must hold, what came, and what to do.
    """


class RunError(RuntimeError):
    """A run that cannot go on, in words for the person who started it."""
