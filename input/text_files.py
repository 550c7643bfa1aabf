"""Text files that people write: class names, tables of numbers, flags."""

import codecs

from estimator_clf.core.errors import DataError
from estimator_clf.core.paths import refuse_special_file

# Longer ones first: UTF-16's mark is the start of UTF-32's.
_MARKS = (
    (codecs.BOM_UTF32_LE, 'utf-32'),
    (codecs.BOM_UTF32_BE, 'utf-32'),
    (codecs.BOM_UTF16_LE, 'utf-16'),
    (codecs.BOM_UTF16_BE, 'utf-16'),
    (codecs.BOM_UTF8, 'utf-8-sig'),
)


def read_lines(path: str) -> list[str]:
    """Returns the lines of a text file, stripped.

    It is UTF-8, or what its byte order mark says, as editors on Windows write one; its
    lines end as on any system.

    Raises:
      DataError: it cannot be read, is not such text, or not a regular file.
    """
    refuse_special_file(path, 'a text file')
    try:
        with open(path, 'rb') as file:
            data = file.read()
    except OSError as error:
        raise DataError(f'{path} cannot be read: {error.strerror}') from None
    return decode_lines(data, path)


def decode_lines(data: bytes, path: str) -> list[str]:
    """Returns the lines of the content of a text file, see `read_lines`."""
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), 'utf-8')
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        number = data.count(b'\n', 0, error.start) + 1
        raise DataError(
            f'{path}, line {number}: must be text in UTF-8, got the bytes '
            f'{data[error.start : error.start + 8]!r}: save the file as UTF-8'
        ) from None
    if '\0' in text:
        number = text.count('\n', 0, text.index('\0')) + 1
        raise DataError(
            f'{path}, line {number}: must be text in UTF-8, got a NUL character: save '
            'the file as UTF-8 (it may be UTF-16 without a byte order mark)'
        )
    # Not `splitlines`, which also splits at characters that names may contain.
    text = text.replace('\r\n', '\n').replace('\r', '\n')
    lines = text.split('\n')
    return [line.strip() for line in (lines[:-1] if lines[-1] == '' else lines)]


def read_names(path: str) -> list[str]:
    """Returns the class names in a file, one per line; raises as `read_lines`."""
    return [line for line in read_lines(path) if line]
