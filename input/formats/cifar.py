"""CIFAR-10 and CIFAR-100, the binary version (https://www.cs.toronto.edu/~kriz/cifar.html).

A record is one label byte (CIFAR-100: two, coarse and fine) and 3,072 bytes of
pixels: 1,024 red, 1,024 green, 1,024 blue, each in rows of 32.
"""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from estimator_clf.core.errors import DataError
from estimator_clf.core.paths import refuse_special_file
from estimator_clf.core.registry import register
from input.dataset_info import DatasetInfo
from input.sources.in_memory import ArraySource, check_labels
from input.text_files import read_names

_PIXELS = 3 * 32 * 32


@register('cifar10')
def cifar10(
    data_dir: str | None,
    *,
    validation_split: float = 0.0,
    info: DatasetInfo | None = None,
) -> ArraySource:
    """CIFAR-10 in its binary version: data_batch_{1..5}.bin, test_batch.bin.

    Args:
      data_dir: the directory of the files, or its parent.
      validation_split: fraction of the training images to hold out.
      info: see `DataSource`.

    Returns:
      A source of images [32, 32, 3].

    Raises:
      DataError: a missing file, or one whose size is not a multiple of 3,073.
    """
    directory = _directory(data_dir, 'cifar-10-batches-bin', 'data_batch_1.bin')
    batches = [f'data_batch_{n}.bin' for n in range(1, 6)]
    files = {'train': batches, 'test': ['test_batch.bin']}
    names = _names(directory, 'batches.meta.txt')
    return _source('cifar10', directory, files, names, 1, 0, validation_split, info)


@register('cifar100')
def cifar100(
    data_dir: str | None,
    *,
    labels: str = 'fine',
    validation_split: float = 0.0,
    info: DatasetInfo | None = None,
) -> ArraySource:
    """CIFAR-100 in its binary version: train.bin, test.bin; fine or coarse labels.

    Args:
      data_dir: the directory of the files, or its parent.
      labels: 'fine' (100 classes) or 'coarse' (20).
      validation_split: fraction of the training images to hold out.
      info: see `DataSource`.

    Returns:
      A source of images [32, 32, 3].

    Raises:
      DataError: a missing file, or one whose size is not a multiple of 3,074.
    """
    if labels not in ('fine', 'coarse'):
        raise DataError(f"`labels` must be 'fine' or 'coarse', got {labels!r}")
    directory = _directory(data_dir, 'cifar-100-binary', 'train.bin')
    files = {'train': ['train.bin'], 'test': ['test.bin']}
    names = _names(directory, f'{labels}_label_names.txt')
    column = ('coarse', 'fine').index(labels)
    return _source(
        'cifar100', directory, files, names, 2, column, validation_split, info
    )


def read_batch(
    path: str, label_bytes: int, column: int
) -> tuple[np.ndarray, np.ndarray]:
    """Reads one binary file.

    Args:
      path: the file.
      label_bytes: label bytes per record.
      column: the one to return.

    Returns:
      (images uint8 [N, 32, 32, 3], labels uint8 [N]).

    Raises:
      DataError: no such file, or a size that is not a multiple of the record.
    """
    record = label_bytes + _PIXELS
    refuse_special_file(path, 'a CIFAR binary file')
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(
            f'{path} cannot be read: {error.strerror}; unpack the archive again'
        ) from None
    if not data.size or data.size % record:
        raise DataError(
            f'{path} must be a multiple of {record} bytes long ({label_bytes} for the '
            f'label, {_PIXELS} for the pixels), got {data.size}: it is cut short, or '
            'not a CIFAR binary file; get it again'
        )
    records = data.reshape(-1, record)
    images = records[:, label_bytes:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, column].copy()


def _directory(data_dir: str | None, usual: str, proof: str) -> str:
    if not data_dir:
        raise DataError(
            '`data_dir` is required: the directory of the CIFAR binary files'
        )
    for directory in (data_dir, os.path.join(data_dir, usual)):
        if os.path.exists(os.path.join(directory, proof)):
            return directory
    raise DataError(
        f'`data_dir` must contain {proof} (or {usual}/{proof}), but {data_dir} '
        + ('does not' if os.path.isdir(data_dir) else 'is not a directory')
    )


def _names(directory: str, file_name: str) -> list[str]:
    path = os.path.join(directory, file_name)
    if not os.path.exists(path):
        raise DataError(f'{path} is missing: the names of the classes, one per line')
    return read_names(path)


def _source(
    name: str,
    directory: str,
    files: Mapping[str, Sequence[str]],
    names: Sequence[str],
    label_bytes: int,
    column: int,
    validation_split: float,
    info: DatasetInfo | None,
) -> ArraySource:
    arrays = {}
    for split, batches in files.items():
        parts = [
            read_batch(os.path.join(directory, b), label_bytes, column) for b in batches
        ]
        for batch, (_, labels) in zip(batches, parts, strict=True):
            check_labels(os.path.join(directory, batch), labels, len(names))
        images = np.concatenate([batch[0] for batch in parts])
        arrays[split] = images, np.concatenate([batch[1] for batch in parts])
    return ArraySource(name, names, arrays, validation_split, info)
