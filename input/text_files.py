"""Text that lies beside data: names of classes, tables of numbers."""

from estimator_clf.core.errors import DataError


def read_lines(path):
    """Returns the lines of a text file, without the white space around each.

    Raises:
      DataError: it is not UTF-8.
    """
    try:
        # Windows's editors put a mark in front of the text.
        with open(path, encoding='utf-8-sig') as file:
            return [line.strip() for line in file]
    except UnicodeDecodeError as error:
        raise DataError(f'{path} must be text in UTF-8: {error}') from None


def read_names(path):
    """Returns the names of classes in a file, one a line; raises as `read_lines`."""
    return [line for line in read_lines(path) if line]
