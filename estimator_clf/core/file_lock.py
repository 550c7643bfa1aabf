"""One trainer per model_dir."""

import contextlib
import os

from estimator_clf.core.errors import ConfigError

try:
    import fcntl
except ImportError:  # Windows; there the lock is left out.
    fcntl = None


def lock_file(file):
    """Locks an open file, until it is closed; returns False if another process has.

    Where there are no locks, better to work without than not at all.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # A file system without.
        pass
    return True


class DirectoryLock:
    """Keeps other processes that ask for the same lock out of a directory.

    The lock is on the directory itself: no file is left behind, and the system gives it
    back when the process ends, however it ends.
    """

    def __init__(self, directory):
        self._directory = directory
        self._handle = None

    def acquire(self):
        """Takes the lock, unless it is taken by us or there is no such directory yet.

        Raises:
          ConfigError: another process holds it.
        """
        if not self.try_acquire():
            raise ConfigError(
                f'`model_dir={self._directory}` is in use: another process is training '
                'there. Wait for it, stop it, or take another directory'
            )

    def try_acquire(self):
        """Takes the lock also; returns False if another process holds it."""
        if (
            self._handle is not None
            or fcntl is None
            or not os.path.isdir(self._directory)
        ):
            return True
        handle = os.open(self._directory, os.O_RDONLY)
        if not lock_file(handle):
            os.close(handle)
            return False
        self._handle = handle
        return True

    def release(self):
        """Gives the lock back, if it is held."""
        if self._handle is not None:
            with contextlib.suppress(OSError):
                os.close(self._handle)
            self._handle = None
