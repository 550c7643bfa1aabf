"""Numbers in columns, for regression; the last column is the target."""

import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from estimator_clf.core.errors import DataError
from estimator_clf.core.paths import special_file
from estimator_clf.core.registry import register
from input.dataset_info import DatasetInfo
from input.fingerprint import Identity
from input.sources.in_memory import Arrays, ArraySplits, InMemorySource
from input.sources.pipeline import ReadOptions
from input.text_files import read_lines


class RegressionSource(InMemorySource):
    """Rows of numbers instead of images: features {'x'}, labels float32 [B]."""

    def __init__(
        self,
        name: str,
        arrays: Mapping[str, Arrays],
        validation_split: float = 0.0,
        info: DatasetInfo | None = None,
    ):
        """Makes the source.

        Args:
          name: see `DataSource`.
          arrays: dict split -> (x float32 [N, D], y float32 [N]).
          validation_split: fraction of 'train' to hold out as 'validation'.
          info: see `DataSource`.

        Raises:
          DataError: shapes that do not match, numbers that are not finite, a split that
            exists already or would be empty.
        """
        for split, (x, y) in arrays.items():
            _check_values(name, split, x, y)
        super().__init__(name, (), ArraySplits(name, arrays, validation_split), info)

    def read(self, options: ReadOptions) -> tf.data.Dataset:
        """See `DataSource`; 'x'."""
        return self._splits.read(options, 'x')

    def _check_options(self, options: ReadOptions) -> None:
        if options.augment_ops:
            raise DataError(f'`augment` has no meaning for {self.name}: no images')
        if options.eval_crop != 1.0:
            raise DataError(
                f'`eval_crop={options.eval_crop}` has no meaning for {self.name}: no '
                'images'
            )

    def _identity(self, split: str) -> Identity:
        return self._splits.identity(split)

    def _restrict(self, places: Mapping[str, np.ndarray], numbers: np.ndarray) -> None:
        raise DataError(f'{self.name} has no classes to select, only numbers')

    def encoded(
        self, split: str, indices: Sequence[int] | None = None
    ) -> Iterator[tuple[str, bytes, int]]:
        raise DataError(f'{self.name} has no images, only numbers')


def _check_values(name: str, split: str, x: np.ndarray, y: np.ndarray) -> None:
    if x.ndim != 2 or y.shape != x.shape[:1] or not len(x):
        raise DataError(
            f'{name}: {split} must be x [N, D] and y [N], got '
            f'{list(x.shape)} and {list(y.shape)}'
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError(f'{name}: all numbers of {split} must be finite')


@register('csv')
def csv(
    data_dir: str | None,
    *,
    validation_split: float = 0.0,
    info: DatasetInfo | None = None,
) -> RegressionSource:
    """A CSV file of numbers, for linear_regression: columns x, …, y.

    Args:
      data_dir: the file. A first line that is not all numbers is the header.
      validation_split: fraction of the rows to hold out.
      info: see `DataSource`.

    Returns:
      A source with features {'x': float32 [B, D], 'key': string [B]}, labels
      float32 [B].

    Raises:
      DataError: no such file, fewer than two columns, a cell that is not a number.
    """
    if not data_dir or not os.path.isfile(data_dir):
        kind = special_file(data_dir) if data_dir else None
        raise DataError(
            f'`data_dir` must be a CSV file, got {data_dir!r}'
            + (f', which is {kind}' if kind else '')
        )
    lines = [(n, line) for n, line in enumerate(read_lines(data_dir), 1) if line]
    rows = []
    for number, line in lines:
        try:
            rows.append([float(cell) for cell in line.split(',')])
        except ValueError:
            if number == lines[0][0]:
                continue
            raise DataError(
                f'{data_dir}, line {number}: must be numbers between commas, got '
                f'{line[:80]!r}'
            ) from None
        if len(rows[-1]) != len(rows[0]) or len(rows[0]) < 2:
            raise DataError(
                f'{data_dir}, line {number}: every line must have the same number of '
                f'columns, at least two, got {len(rows[-1])}'
            )
    if not rows:
        raise DataError(f'{data_dir} has no rows of numbers')
    table = np.array(rows, np.float32)
    name = 'csv:' + os.path.splitext(os.path.basename(data_dir))[0]
    return from_values(
        {'train': (table[:, :-1], table[:, -1])},
        name=name,
        validation_split=validation_split,
        info=info,
    )


def from_values(
    splits: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    name: str = 'values',
    validation_split: float = 0.0,
    info: DatasetInfo | None = None,
) -> RegressionSource:
    """Makes a source of arrays for regression.

    Args:
      splits: dict split -> (x float [N, D] or [N], y float [N]).
      name: name for messages and `DatasetInfo`.
      validation_split: fraction of 'train' to hold out as 'validation'.
      info: see `DataSource`.

    Raises:
      DataError: arrays that do not match, or numbers that are not finite.
    """
    shaped = {}
    for split, (inputs, targets) in splits.items():
        x, y = np.asarray(inputs, np.float32), np.asarray(targets, np.float32)
        shaped[split] = (x[:, None] if x.ndim == 1 else x, y)
    return RegressionSource(name, shaped, validation_split, info)
