"""In-memory cache of image files, encoded or decoded."""

import concurrent.futures
import os
from collections.abc import Callable, Iterable, Sequence

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import numpy as np

from estimator_clf.core.errors import DataError
from estimator_clf.core.hardware.memory import free_memory

KINDS = ('none', 'encoded', 'decoded')

# Fraction of the free memory that images may use: the network, and other splits, need
# some too.
_FRACTION = 0.75

# TensorFlow uses NumPy's memory directly if it begins at a multiple of this, and
# otherwise copies it, once for every dataset.
_ALIGNMENT = 64


def check_fits(kind: str, what: str, needed: int) -> None:
    """Checks that there is memory for the images.

    Args:
      kind: 'encoded' or 'decoded'.
      what: which images, for the message.
      needed: bytes that they use.

    Raises:
      DataError: there is too little. Where the free memory is unknown, never.
    """
    free = free_memory()
    if free is None or needed <= _FRACTION * free:
        return
    smaller = '`cache=none`'
    if kind == 'decoded':
        smaller = '`cache=encoded`, `cache=none` or a smaller `image_size`'
    raise DataError(
        f'`cache={kind}` must fit into {_FRACTION:.0%} of the free memory, which is '
        f'{free / 1e9:.2f} GB, but {what} take {needed / 1e9:.2f} GB; use {smaller}'
    )


def read_files(
    paths: Sequence[str], on_error: Callable[[int, OSError], None] | None = None
) -> np.ndarray:
    """Reads files, several at a time.

    Args:
      paths: the files.
      on_error: function of (number, OSError), called for a file that cannot be read; if
        it returns, the file counts as empty. None: the error is raised.

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

    # More threads than cores: where reading is slow, it is waiting.
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        contents = list(pool.map(read, range(len(paths)), chunksize=64))
    array = np.empty([len(paths)], object)
    array[:] = contents
    return array


def total_size(paths: Iterable[str]) -> int:
    """Returns the total size of files in bytes; a missing one counts as empty."""
    size = 0
    for path in paths:
        try:
            size += os.path.getsize(path)
        except OSError:
            pass  # Reading it raises the error.
    return size


def aligned(shape: Sequence[int]) -> np.ndarray:
    """Returns uint8 zeros that TensorFlow does not have to copy."""
    size = int(np.prod(shape))
    buffer = np.zeros([size + _ALIGNMENT], np.uint8)
    start = -buffer.ctypes.data % _ALIGNMENT
    return buffer[start : start + size].reshape(shape)
