"""Standard output and error of a program: closed, full, ended, or not Unicode.

Standard output is for results: if they cannot be written, the exit code is 1. Standard
error is for messages and progress: without a reader they are lost, and the work goes
on.
"""

import codecs
import contextlib
import errno
import os
import sys
from typing import Any, TextIO

_ESCAPE = 'estimator_clf.escape'


def prepare() -> None:
    """Prepares the streams; before anything else is opened or printed."""
    _open_closed()
    codecs.register_error(_ESCAPE, _escape)
    # Standard error escapes by itself.
    if getattr(sys.stdout, 'errors', None) in ('strict', 'surrogateescape'):
        sys.stdout.reconfigure(errors=_ESCAPE)  # type: ignore[union-attr]
    if not isinstance(sys.stderr, _Messages):
        sys.stderr = _Messages(sys.stderr)


def finish(code: int) -> int:
    """Writes what is buffered, and returns the exit code.

    Python does it after the program, and exits with 120 if it fails.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        return output_failed(error)
    sys.stderr.flush()
    return code


def output_failed(error: OSError) -> int:
    """Reports that standard output cannot be written; returns the exit code.

    Says nothing of a pipe whose reader has ended, as in `| head`: it has what it wants.
    """
    _redirect_to_null(sys.stdout)
    if error.errno != errno.EPIPE:
        print(
            f'error: standard output cannot be written: {error.strerror}',
            file=sys.stderr,
            flush=True,
        )
    return 1


def _open_closed() -> None:
    """Opens the null device for each closed stream, such as after `2>&-`.

    Otherwise the next file that is opened, such as a checkpoint, takes its number, and
    gets what C++ code logs.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            handle = os.open(os.devnull, os.O_RDWR)
            if handle != number:
                os.dup2(handle, number)
                os.close(handle)
    for name in ('stdout', 'stderr'):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, 'w', encoding='utf-8'))


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    """Encodes what a stream's encoding lacks: bytes of file names, or backslashes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    parts = []
    for character in error.object[error.start : error.end]:
        code = ord(character)
        if 0xDC80 <= code <= 0xDCFF:  # A byte of a name that is not UTF-8.
            parts.append(bytes([code - 0xDC00]))
        else:
            parts.append(character.encode('ascii', 'backslashreplace'))
    return b''.join(parts), error.end


def _redirect_to_null(stream: Any) -> None:
    """Makes a stream drop everything, also what its buffer still holds."""
    with contextlib.suppress(OSError, ValueError):  # It may have no number.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    with contextlib.suppress(OSError, ValueError):
        stream.flush()


class _Messages:
    """A stream that drops what cannot be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BlockingIOError:  # Full at the moment.
            return len(text)
        except OSError:
            _redirect_to_null(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BlockingIOError:
            pass
        except OSError:
            _redirect_to_null(self._stream)
