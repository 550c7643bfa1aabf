"""The error for data that is not as it must be."""


class DataError(ValueError):
    """Data on the disk, or an option about it, that a person has to mend.

    The message says what must hold, what was found, and what to do.
    """
