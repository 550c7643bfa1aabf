"""Text files with class names or tables of numbers."""

from estimator_clf.core.errors import DataError


def read_lines(path: str) -> list[str]:
    """Returns the lines of a text file, stripped.

    Raises:
      DataError: it is not UTF-8.
    """
    try:
        # Editors on Windows put a byte order mark in front of the text.
        with open(path, encoding='utf-8-sig') as file:
            return [line.strip() for line in file]
    except UnicodeDecodeError as error:
        raise DataError(f'{path} must be text in UTF-8: {error}') from None


def read_names(path: str) -> list[str]:
    """Returns the class names in a file, one per line; raises as `read_lines`."""
    return [line for line in read_lines(path) if line]
