"""NumPy arrays: in memory, or in an .npz file."""

import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from estimator_clf.core.class_names import names_fault
from estimator_clf.core.errors import DataError
from estimator_clf.core.registry import register
from input.dataset_info import DatasetInfo
from input.sources.in_memory import ArraySource


@register('arrays')
def arrays(
    data_dir: str | None,
    *,
    validation_split: float = 0.0,
    info: DatasetInfo | None = None,
) -> ArraySource:
    """An .npz file with x_train, y_train and optionally x_test, y_test (as Keras's).

    Args:
      data_dir: the .npz file: images uint8 [N, H, W, C] or [N, H, W], labels int
        [N] or [N, 1]; optionally x_validation, y_validation, and class_names.
      validation_split: fraction of the training images to hold out.
      info: see `DataSource`.

    Raises:
      DataError: no such file, or arrays that do not match.
    """
    if not data_dir or not os.path.isfile(data_dir):
        raise DataError(f'`data_dir` must be an .npz file, got {data_dir!r}')
    try:
        file = np.load(data_dir, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError('it is a single array (.npy); use np.savez')
        with file:
            loaded = {name: file[name] for name in file.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f'{data_dir} is not a complete .npz file: {error}') from None
    splits = {
        split: (loaded[f'x_{split}'], loaded.get(f'y_{split}'))
        for split in ('train', 'validation', 'test')
        if f'x_{split}' in loaded
    }
    if 'train' not in splits:
        raise DataError(f'{data_dir} must hold x_train; it holds: {sorted(loaded)}')
    for split, (_, labels) in splits.items():
        if labels is None:
            raise DataError(f'{data_dir} holds x_{split} but no y_{split}')
    name = 'arrays:' + os.path.splitext(os.path.basename(data_dir))[0]
    names = loaded.get('class_names')
    if names is not None and names.ndim != 1:
        raise DataError(
            f'{data_dir}: class_names must be a list of names, got {names.tolist()!r}'
        )
    fault = None if names is None else names_fault([_text(n) for n in names])
    if fault:
        raise DataError(f'{data_dir}, class_names: {fault}; correct it there')
    return from_arrays(
        splits,
        class_names=None if names is None else [_text(n) for n in names],
        name=name,
        validation_split=validation_split,
        info=info,
    )


def _text(name: str | bytes) -> str:
    return name.decode('utf-8', 'replace') if isinstance(name, bytes) else str(name)


def from_arrays(
    splits: Mapping[str, tuple[ArrayLike, ArrayLike]],
    class_names: Sequence[str] | None = None,
    *,
    name: str = 'arrays',
    validation_split: float = 0.0,
    info: DatasetInfo | None = None,
) -> ArraySource:
    """Makes a source of arrays in memory.

    Args:
      splits: dict split ('train', ...) -> (images uint8 [N, H, W, C] or [N, H, W],
        labels int [N] or [N, 1]).
      class_names: by default the numbers up to the largest label.
      name: name for messages and `DatasetInfo`.
      validation_split: fraction of 'train' to hold out as 'validation'.
      info: see `DataSource`.

    Raises:
      DataError: arrays that do not match.
    """
    shaped = {}
    for split, pair in splits.items():
        images, labels = (np.asarray(array) for array in pair)
        if images.ndim == 3:
            images = images[..., None]
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if not np.issubdtype(labels.dtype, np.integer):
            raise DataError(
                f'{name}: labels must be integers, got {labels.dtype} in {split!r}'
            )
        shaped[split] = (images, labels)
    if class_names is None:
        last = max(int(labels.max(initial=0)) for _, labels in shaped.values())
        class_names = [str(n) for n in range(last + 1)]
    if len(class_names) < 2:
        raise DataError(f'{name}: a classifier needs at least two classes')
    return ArraySource(name, class_names, shaped, validation_split, info)
