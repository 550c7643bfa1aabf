"""Images of files that stay in memory after the first time: bytes, or pixels."""

import concurrent.futures
import os

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import numpy as np

from estimator_clf.core.errors import DataError
from estimator_clf.core.memory import free_memory

KINDS = ('none', 'encoded', 'decoded')

# Of the memory that is free, the share that images may take: the network, and the
# other splits, need some too.
_SHARE = 0.75

# TensorFlow takes NumPy's memory as it is if it begins at a multiple of this, and
# otherwise copies it, once for every dataset.
_ALIGNMENT = 64


def check_room(kind, what, needed):
    """Makes sure that there is memory for the images.

    Args:
      kind: 'encoded' or 'decoded'.
      what: which images, for the message.
      needed: bytes that they take.

    Raises:
      DataError: it is too little. Where nobody knows how much is free, it never is.
    """
    free = free_memory()
    if free is None or needed <= _SHARE * free:
        return
    less = '`cache=none`'
    if kind == 'decoded':
        less = '`cache=encoded`, `cache=none` or a smaller `image_size`'
    raise DataError(
        f'`cache={kind}` must fit into {_SHARE:.0%} of the free memory, which is '
        f'{free / 1e9:.2f} GB, but {what} take {needed / 1e9:.2f} GB; take {less}'
    )


def read_files(paths, on_error=None):
    """Reads files, several at a time.

    Args:
      paths: list of paths.
      on_error: function of (number, OSError) that may return, for a file that cannot
        be read, which then counts as empty; None: the error is raised.

    Returns:
      Object array [N] of bytes.
    """

    def read(number):
        try:
            with open(paths[number], 'rb') as file:
                return file.read()
        except OSError as error:
            if on_error is None:
                raise
            on_error(number, error)
            return b''

    # More than cores: where reading is slow, it is waiting.
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        contents = list(pool.map(read, range(len(paths)), chunksize=64))
    array = np.empty([len(paths)], object)
    array[:] = contents
    return array


def total_size(paths):
    """Returns the bytes of files together; of one that is not there, none."""
    size = 0
    for path in paths:
        try:
            size += os.path.getsize(path)
        except OSError:
            pass  # Whoever reads it says so.
    return size


def aligned(shape):
    """Returns uint8 zeros of that shape which TensorFlow need not copy."""
    size = int(np.prod(shape))
    buffer = np.zeros([size + _ALIGNMENT], np.uint8)
    start = -buffer.ctypes.data % _ALIGNMENT
    return buffer[start : start + size].reshape(shape)
