"""MNIST's idx format, also of other datasets (Fashion-MNIST, EMNIST).

The format is described at http://yann.lecun.com/exdb/mnist/: two zero bytes, a type
byte (8: unsigned byte), the number of dimensions, each dimension as a big-endian
int32, then the data.
"""

import gzip
import math
import os
import re
import struct
import zlib
from collections.abc import Mapping

import numpy as np

from estimator_clf.core.errors import DataError
from estimator_clf.core.paths import refuse_special_file
from estimator_clf.core.registry import register
from input.dataset_info import DatasetInfo
from input.sources.in_memory import Arrays, ArraySource
from input.split_names import canonical
from input.text_files import read_names

_IMAGES = re.compile(
    r'(?P<prefix>.*?)(?P<split>train|test|t10k|valid|validation)'
    r'[-_.]images[-_.]idx3[-_.]ubyte(\.gz)?$'
)


@register('idx', 'mnist')
def idx(
    data_dir: str | None,
    *,
    prefix: str | None = None,
    transpose: bool | None = None,
    validation_split: float = 0.0,
    info: DatasetInfo | None = None,
) -> ArraySource:
    """MNIST and other datasets in its format (Fashion-MNIST, EMNIST), .gz or not.

    Args:
      data_dir: directory of `train-images-idx3-ubyte[.gz]` and so on, or the parent
        of a directory `mnist`.
      prefix: the set to read, where a directory contains several:
        'emnist-letters-'.
      transpose: swap rows and columns of each image: EMNIST's are stored so that they
        are upright only then. By default the images are as they are stored.
      validation_split: fraction of the training images to hold out.
      info: see `DataSource`.

    Returns:
      A source of images [height, width, 1]. EMNIST's are transposed, as they are
      stored, unless `transpose`. Classes are named by their labels, also where these
      start at 1 (EMNIST letters), unless `labels.txt` names them.

    Raises:
      DataError: a missing file, a wrong header, a file cut short.
    """
    directory = _directory(data_dir)
    arrays: dict[str, Arrays] = {}
    transposed = False
    listing = sorted(os.listdir(directory))
    for name in listing:
        match = _IMAGES.match(name)
        if name.endswith('.gz') and name[:-3] in listing:  # After `gunzip -k`.
            continue
        if not match or (prefix is not None and match['prefix'] != prefix):
            continue
        split = 'test' if match['split'] == 't10k' else canonical(match['split'])
        if split is None or split in arrays:
            raise DataError(
                f'{directory} contains more than one {split} split ({name} is the '
                'second); retain one, or select one by `prefix`'
            )
        images = read_idx(os.path.join(directory, name), 3)
        labels = read_idx(_path_of_labels(directory, name), 1)
        if transpose:
            images = np.ascontiguousarray(images.transpose(0, 2, 1))
        arrays[split] = (images[..., None], labels)
        transposed |= 'emnist' in match['prefix'].lower()
    if 'train' not in arrays:
        raise DataError(
            f'{directory} must contain {prefix or ""}train-images-idx3-ubyte[.gz]'
        )
    arrays, names = _number_classes(directory, arrays)
    name = (prefix or os.path.basename(os.path.abspath(directory))).strip('-_')
    source = ArraySource(name, names, arrays, validation_split, info)
    if transposed and transpose is None:
        source.known_losses = [
            f"{source.name}: EMNIST's files hold transposed images, and they are read "
            'as they are: a model trained on them misreads upright letters. Write '
            "`dataset='idx(transpose=True)'` for upright ones; `transpose=False` for "
            'these, without this message'
        ]
    return source


def read_idx(path: str, dimensions: int) -> np.ndarray:
    """Reads an idx file of unsigned bytes.

    Args:
      path: the file; gzip is recognized by its first bytes.
      dimensions: expected number of dimensions.

    Returns:
      uint8 array.

    Raises:
      DataError: not such a file, or an incomplete one.
    """
    refuse_special_file(path, 'an idx file')
    try:
        with open(path, 'rb') as file:
            data = file.read()
        if data[:2] == b'\x1f\x8b':
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f'{path} cannot be read ({error}): it is cut short or corrupt; get it again'
        ) from None
    header = 4 + 4 * dimensions
    if data[:4] != bytes([0, 0, 8, dimensions]):
        raise DataError(
            f'{path} must begin with the bytes 0 0 8 {dimensions} (idx, unsigned byte, '
            f'{dimensions} dimensions), got {" ".join(str(b) for b in data[:4])}'
        )
    if len(data) < header:
        raise DataError(
            f'{path} must have a header of {header} bytes, but all of it is '
            f'{len(data)}: it is cut short; get it again'
        )
    shape = struct.unpack(f'>{dimensions}i', data[4:header])
    if min(shape) < 0:
        raise DataError(
            f'{path} must have a shape without negative numbers in its header, got '
            f'{list(shape)}: it is corrupt; get it again'
        )
    expected = header + math.prod(shape)
    if len(data) != expected:
        raise DataError(
            f'{path} must be {expected} bytes long for its shape {list(shape)}, got '
            f'{len(data)}: it is cut short or corrupt; get it again'
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _directory(data_dir: str | None) -> str:
    if not data_dir:
        raise DataError('`data_dir` is required: the directory of the idx files')
    for directory in (data_dir, os.path.join(data_dir, 'mnist')):
        if os.path.isdir(directory) and any(map(_IMAGES.match, os.listdir(directory))):
            return directory
    raise DataError(
        '`data_dir` must contain train-images-idx3-ubyte[.gz], but '
        f'{data_dir} '
        + ('does not' if os.path.isdir(data_dir) else 'is not a directory')
    )


def _path_of_labels(directory: str, images_name: str) -> str:
    stem = images_name.removesuffix('.gz').replace('images', 'labels')
    stem = stem.replace('idx3', 'idx1')
    for name in (stem, stem + '.gz'):
        if os.path.exists(os.path.join(directory, name)):
            return os.path.join(directory, name)
    raise DataError(f'{images_name} has no labels: {stem}[.gz] is missing')


def _number_classes(
    directory: str, arrays: Mapping[str, Arrays]
) -> tuple[dict[str, Arrays], list[str]]:
    """Names the classes; excludes numbers below the lowest label that occurs."""
    labels = arrays['train'][1]
    if not labels.size:
        raise DataError(f'{directory}: the training split is empty')
    first, last = int(labels.min()), int(labels.max())
    path = os.path.join(directory, 'labels.txt')
    if os.path.exists(path):
        names = read_names(path)
        if len(names) > last:  # They include the numbers below `first`.
            first = 0
    else:
        names = [str(n) for n in range(first, last + 1)]
    if int(labels.min()) == last:
        raise DataError(f'A classifier needs at least two classes; {directory} has one')
    shifted = {s: (x, y.astype(np.int32) - first) for s, (x, y) in arrays.items()}
    return shifted, names
