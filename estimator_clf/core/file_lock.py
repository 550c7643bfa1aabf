"""Advisory kernel locks on files and directories: one trainer per model_dir.

Not the `filelock` package. It cannot lock a directory itself (IsADirectoryError), so
that it needs, and leaves, a lock file in each model_dir; it opens the file on its own,
so that a file that is already open for writing cannot be locked; and on a file system
without flock it falls back to marker files, which survive a SIGKILL.
"""

import contextlib
import os
from typing import Any

from estimator_clf.core.errors import ConfigError

try:
    import fcntl
except ImportError:  # Windows, where nothing is locked.
    fcntl = None  # type: ignore[assignment]


def lock_file(file: Any) -> bool:
    """Locks an open file or file descriptor until it is closed.

    Returns:
      False if another process holds the lock; True also where the system or the file
      system has no locks, since working without one is better than not at all.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # The file system has no locks.
        pass
    return True


class DirectoryLock:
    """Exclusive lock of a directory (or file) against other holders of such a lock.

    The lock is on the directory itself: it adds no file, and the kernel releases it
    when the process ends, also by SIGKILL.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = directory
        self._handle: int | None = None

    def acquire(self) -> None:
        """Acquires the lock, unless it is held already or the directory is missing.

        Raises:
          ConfigError: another process holds it.
        """
        if not self.try_acquire():
            raise ConfigError(
                f'`model_dir={self._directory}` is in use: another process is training '
                'there. Wait for it, stop it, or choose another directory'
            )

    def try_acquire(self) -> bool:
        """Like `acquire`, but returns False if another process holds the lock."""
        if (
            self._handle is not None
            or fcntl is None
            or not os.path.exists(self._directory)
        ):
            return True
        handle = os.open(self._directory, os.O_RDONLY)
        if not lock_file(handle):
            os.close(handle)
            return False
        self._handle = handle
        return True

    def release(self) -> None:
        """Releases the lock if it is held."""
        if self._handle is not None:
            with contextlib.suppress(OSError):
                os.close(self._handle)
            self._handle = None
