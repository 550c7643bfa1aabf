"""Files that are whole or not there at all."""

import contextlib
import os
import tempfile

PARTIAL = '.partial-'  # How the name of a file begins that is not whole yet.


def write_atomically(path, text):
    """Writes a text file such that no reader ever sees a part of it.

    Args:
      path: the file; one that is there is replaced in one step.
      text: str.
    """
    directory = os.path.dirname(os.path.abspath(path))
    handle, partial = tempfile.mkstemp(dir=directory, prefix=PARTIAL)
    try:
        with os.fdopen(handle, 'w', encoding='utf-8') as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o644)  # mkstemp's is for the owner alone.
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        raise
