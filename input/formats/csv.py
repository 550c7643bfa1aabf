"""Numbers in columns, for regression: the last column is what is to be predicted."""

import os

import numpy as np

from estimator_clf.core.errors import DataError
from estimator_clf.core.registry import register
from input.sources.in_memory import ArraySource
from input.text_files import read_lines


class RegressionSource(ArraySource):
    """Rows of numbers instead of images: features {'x'}, labels float32 [B]."""

    _LABEL = np.float32

    @staticmethod
    def _check(name, split, values, targets, num_classes):
        del num_classes
        if values.ndim != 2 or targets.shape != values.shape[:1] or not len(values):
            raise DataError(
                f'{name}: {split} must be x [N, D] and y [N], got '
                f'{list(values.shape)} and {list(targets.shape)}'
            )
        if not (np.isfinite(values).all() and np.isfinite(targets).all()):
            raise DataError(f'{name}: all numbers of {split} must be finite')

    def _check_augment(self, steps):
        if steps:
            raise DataError(f'`augment` has no meaning for {self.name}: no images')

    def _finish(self, reading, batch):
        del reading
        return {'x': batch['image'], 'key': batch['key']}, batch['label']

    def _pixel_statistics(self):
        return (), ()

    def encoded(self, split, indices=None):
        raise DataError(f'{self.name} has no images, only numbers')


@register('csv')
def csv(data_dir, *, validation_split=0.0, info=None):
    """A CSV file of numbers, for linear_regression: columns x, …, y.

    Args:
      data_dir: the file. A first line that is not all numbers is the header.
      validation_split: share of the rows to hold out.
      info: see `DataSource`.

    Returns:
      A `RegressionSource`: features {'x': float32 [B, D], 'key': string [B]}, labels
      float32 [B].

    Raises:
      DataError: no such file, fewer than two columns, something that is no number.
    """
    if not data_dir or not os.path.isfile(data_dir):
        raise DataError(f'`data_dir` must be a CSV file, got {data_dir!r}')
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


def from_values(splits, *, name='values', validation_split=0.0, info=None):
    """Makes a source of arrays for regression.

    Args:
      splits: dict split -> (x float [N, D] or [N], y float [N]).
      name: name for messages and `DatasetInfo`.
      validation_split: share of 'train' to hold out as 'validation'.
      info: see `DataSource`.

    Returns:
      A `RegressionSource`.

    Raises:
      DataError: arrays that do not fit, or numbers that are not finite.
    """
    shaped = {}
    for split, (x, y) in splits.items():
        x, y = np.asarray(x, np.float32), np.asarray(y, np.float32)
        shaped[split] = (x[:, None] if x.ndim == 1 else x, y)
    return RegressionSource(name, (), shaped, validation_split, info)
