"""Files and directories that appear complete or not at all.

Unfinished ones are named `.partial-…`, next to their final place, and their writer
holds a kernel lock on them: an unlocked one is a leftover of a killed process.
"""

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator

from estimator_clf.core.file_lock import DirectoryLock, lock_file

#: Prefix of the names of unfinished files and directories.
PARTIAL = '.partial-'


def write_atomically(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file so that readers never get a part of it.

    Args:
      path: the file; an existing one is replaced in one step.
      text: its contents.
    """
    directory = os.path.dirname(os.path.abspath(path))
    handle, partial = tempfile.mkstemp(dir=directory, prefix=PARTIAL)
    try:
        with os.fdopen(handle, 'w', encoding='utf-8') as file:
            lock_file(file)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o644)  # mkstemp's mode is 0o600.
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        raise


@contextlib.contextmanager
def partial_directory(parent: str | os.PathLike[str]) -> Iterator[str]:
    """Creates a directory to fill and then rename, and removes leftovers of others.

    Removes it when the block ends, unless the block has renamed it.

    Args:
      parent: existing directory in which it is created.

    Yields:
      Path of the new directory, locked.
    """
    remove_partial(parent)
    while True:
        path = os.path.join(parent, PARTIAL + secrets.token_hex(8))
        os.mkdir(path)
        lock = DirectoryLock(path)
        # `remove_partial` of another process may come between the two.
        if lock.try_acquire() and os.path.isdir(path):
            break
        lock.release()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        lock.release()


def remove_partial(directory: str | os.PathLike[str]) -> None:
    """Removes unfinished files and directories whose writers are dead.

    Args:
      directory: where they are; need not exist.
    """
    if not os.path.isdir(directory):
        return
    for name in os.listdir(directory):
        if not name.startswith(PARTIAL):
            continue
        path = os.path.join(directory, name)
        lock = DirectoryLock(path)
        with contextlib.suppress(OSError):
            if lock.try_acquire():
                if os.path.isdir(path):
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    os.remove(path)
        lock.release()
