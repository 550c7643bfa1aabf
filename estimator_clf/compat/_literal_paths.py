"""Lets TensorFlow read checkpoints whose paths contain `*`, `?`, `[` or a backslash.

TensorFlow looks for the files of a checkpoint by a glob pattern, and takes the path of
the checkpoint for a part of it: in Python (`latest_checkpoint`, `Saver.restore`, the
removal of old checkpoints) and in C++ (`RestoreV2`, `NewCheckpointReader`). In a
directory `run[1]` it writes checkpoints, and then finds none. Other paths take
TensorFlow's own way, unchanged.

The C++ side cannot be replaced: it gets a path without these characters, through a
symbolic link to the directory that this process owns.
"""

import atexit
import errno
import fnmatch
import functools
import glob
import os
import shutil
import tempfile
from typing import Any

_SPECIAL = frozenset('*?[\\')
# The pattern of a checkpoint's data files, the only one that TensorFlow itself adds.
_SHARDS = '.data-?????-of-?????'


def read_paths_literally() -> None:
    """Makes TensorFlow take the paths of checkpoints literally; once per process."""
    from tensorflow.python.checkpoint import checkpoint_management
    from tensorflow.python.training import py_checkpoint_reader, saver

    if isinstance(checkpoint_management.file_io, _LiteralFileIO):
        return
    checkpoint_management.file_io = _LiteralFileIO(checkpoint_management.file_io)
    new_reader, restore = py_checkpoint_reader.NewCheckpointReader, saver.Saver.restore

    @functools.wraps(new_reader)
    def new_literal_reader(filepattern: Any) -> Any:
        return new_reader(without_special(filepattern))

    @functools.wraps(restore)
    def restore_literally(self: Any, sess: Any, save_path: Any) -> None:
        restore(self, sess, save_path and without_special(save_path))

    py_checkpoint_reader.NewCheckpointReader = new_literal_reader
    saver.Saver.restore = restore_literally


def without_special(path: Any) -> Any:
    """Returns a path of the same file without characters of a glob pattern.

    Args:
      path: prefix of a checkpoint; returned as it is without such characters.

    Raises:
      OSError: there is no directory for temporary files without such characters.
    """
    text = os.fspath(path)
    if not isinstance(text, str) or not _SPECIAL & set(text):
        return path
    directory, name = os.path.split(os.path.abspath(text))
    if _SPECIAL & set(name):
        return path  # Not a checkpoint of this project; TensorFlow reports it.
    return os.path.join(_link_to(directory, os.getpid()), name)


@functools.cache
def _link_to(directory: str, process: int) -> str:
    link = os.path.join(_own_directory(process), str(_link_to.cache_info().misses))
    os.symlink(directory, link)
    return link


@functools.cache
def _own_directory(process: int) -> str:
    for parent in dict.fromkeys(
        [tempfile.gettempdir(), '/tmp', '/var/tmp', '/dev/shm']
    ):
        if _SPECIAL & set(parent) or not os.path.isdir(parent):
            continue
        try:
            path = tempfile.mkdtemp(prefix='checkpoints-', dir=parent)
        except OSError:
            continue
        atexit.register(_remove, path, process)
        return path
    raise OSError(
        errno.EACCES,
        'TensorFlow can read a checkpoint whose path contains *, ?, [ or a backslash '
        'only through a link in a directory for temporary files: set TMPDIR to one '
        'without these characters that can be written, or rename the directory',
    )


def _remove(path: str, process: int) -> None:
    if os.getpid() == process:  # Not a fork, whose parent still needs it.
        shutil.rmtree(path, ignore_errors=True)


class _LiteralFileIO:
    """TensorFlow's `file_io` with a `get_matching_files` of literal directories."""

    def __init__(self, file_io: Any) -> None:
        self._file_io = file_io

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file_io, name)

    def get_matching_files(self, filename: Any) -> list[str]:
        """Lists the files of a checkpoint: of a path, or of its shards."""
        text = os.fspath(filename)
        stem = text.removesuffix(_SHARDS) if isinstance(text, str) else ''
        if not _SPECIAL & set(stem):
            return self._file_io.get_matching_files(filename)
        directory, name = os.path.split(text)
        own, shards = os.path.basename(stem), text[len(stem) :]
        try:
            names = sorted(os.listdir(directory or '.'))
        except OSError:
            return []
        pattern = glob.escape(own) + shards
        return [
            os.path.join(directory, n) for n in names if fnmatch.fnmatchcase(n, pattern)
        ]
