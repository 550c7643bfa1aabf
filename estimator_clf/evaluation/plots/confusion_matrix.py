"""Confusion matrix of an evaluation, as an image and as tables."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from estimator_clf.evaluation.plots.eval_callback import (
    EvalCallback,
    Tensors,
    Values,
    select_tensors,
)
from estimator_clf.loggers import drawing, summary_protos

# With more classes neither the image nor the table of classes is readable.
MAX_CLASSES = 50

# The counts grow with the square of the number of classes; these take 32 MB.
_MAX_COUNTED_CLASSES = 2000

_PAIRS = 20

_DPI = 72  # One point is one pixel.
_COLORS = ('#be281e', '#ffffff', '#1558b0')  # Wrong, no example, correct.


class ConfusionMatrix(EvalCallback):
    """Counts the predicted classes of each true class.

    Writes the image 'evaluation/confusion_matrix' and the texts 'tables/classes'
    (precision, recall, F1 and count per class) and 'tables/confused' (the most
    frequently confused pairs). With more than `MAX_CLASSES` classes it writes only the
    pairs, with more than 2,000 nothing.
    """

    def __init__(self, writer: Any, class_names: Sequence[str]) -> None:
        """Stores the arguments.

        Args:
          writer: `tf.compat.v1.summary.FileWriter` or `LazyWriter`.
          class_names: in the order of the labels.
        """
        self._writer = writer
        self._names = [str(name) for name in class_names]

    def fetches(self, tensors: Tensors) -> Tensors:
        if len(self._names) > _MAX_COUNTED_CLASSES:
            return {}
        return select_tensors(tensors, 'labels', 'probabilities')

    def on_begin(self) -> None:
        size = len(self._names)
        self._counts = np.zeros((size, size), np.int64)

    def on_batch(self, values: Values) -> None:
        predicted = np.argmax(values['probabilities'], axis=1)
        np.add.at(self._counts, (values['labels'], predicted), 1)

    def on_end(self, step: int) -> None:
        if len(self._names) <= MAX_CLASSES:
            # A palette reduces the file to a third.
            image = render_confusion_matrix(self._counts, self._names)
            summary = summary_protos.image(
                'evaluation/confusion_matrix',
                image.quantize(64, dither=Image.Dither.NONE),
            )
            self._writer.add_summary(summary, step)
            table = class_table(self._counts, self._names)
            self._writer.add_summary(summary_protos.text('tables/classes', table), step)
        pairs = confused_pairs_table(self._counts, self._names)
        self._writer.add_summary(summary_protos.text('tables/confused', pairs), step)


def class_table(counts: np.ndarray, names: Sequence[str]) -> str:
    """Formats precision, recall, F1 and count of each class as a Markdown table.

    Args:
      counts: int64 [classes, classes]: true class by predicted class.
      names: class names in the order of the labels.
    """
    correct = np.diag(counts)
    actual, predicted = counts.sum(axis=1), counts.sum(axis=0)
    # 0 in place of 0 / 0, as in the scalar metrics.
    precision = correct / predicted.clip(min=1)
    recall = correct / actual.clip(min=1)
    f1 = 2 * correct / (actual + predicted).clip(min=1)
    columns = (names, precision.tolist(), recall.tolist(), f1.tolist(), actual.tolist())
    rows = list(zip(*columns, strict=True))
    return summary_protos.markdown_table(
        ['class', 'precision', 'recall', 'F1', 'count'], rows
    )


def confused_pairs_table(counts: np.ndarray, names: Sequence[str]) -> str:
    """Formats the most frequently confused pairs of classes as a Markdown table.

    Args:
      counts: int64 [classes, classes]: true class by predicted class.
      names: class names in the order of the labels.
    """
    wrong = counts * (1 - np.eye(len(names), dtype=np.int64))
    # A stable sort: pairs with equal counts stay in the order of the classes.
    order = np.argsort(-wrong, axis=None, kind='stable')[:_PAIRS]
    rows = []
    for true, predicted in zip(*np.unravel_index(order, wrong.shape), strict=True):
        count = int(wrong[true, predicted])
        if count:
            share = float(count / counts[true].sum())
            rows.append([names[true], names[predicted], count, share])
    if not rows:
        return 'All examples were classified correctly.'
    header = ['true class', 'predicted', 'count', 'share of the true class']
    return summary_protos.markdown_table(header, rows)


def render_confusion_matrix(counts: np.ndarray, names: Sequence[str]) -> Image.Image:
    """Renders the matrix: a row per true class, a column per predicted class.

    The color is the square root of the share of the row, so that rare confusions are
    visible: blue on the diagonal, red elsewhere. Cells without examples stay empty.

    Args:
      counts: int64 [classes, classes]: true class by predicted class.
      names: class names in the order of the labels.

    Returns:
      RGB image.
    """
    # Imported on first use: half a second. scikit-learn's `ConfusionMatrixDisplay`
    # sets the same ticks and labels, and takes another second to import.
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    size = 13 if len(names) <= 20 else 10  # Of the font, in pixels.
    digits = len(str(counts.max(initial=0)))
    cell = max(28, round(0.64 * size * digits) + 8)
    side = cell * len(names) / _DPI
    # `Figure` instead of pyplot: renders with Agg, without global state.
    figure = Figure(figsize=(side, side), dpi=_DPI)
    axes = figure.add_axes((0, 0, 1, 1))

    amounts = np.sqrt(counts / counts.sum(axis=1, keepdims=True).clip(min=1))
    signed = np.where(np.eye(len(names), dtype=bool), amounts, -amounts)
    labels = [drawing.shorten(name, size, 150) for name in names]
    # An odd number of levels, so that 0 is exactly white.
    colors = LinearSegmentedColormap.from_list('red_white_blue', _COLORS, 257)
    borders = np.arange(len(names) + 1) - 0.5
    axes.pcolormesh(
        borders, borders, signed, cmap=colors, vmin=-1, vmax=1, edgecolors='#e1e4e8'
    )
    axes.invert_yaxis()
    axes.set_xticks(range(len(names)), labels, rotation='vertical')
    axes.set_yticks(range(len(names)), labels)
    axes.xaxis.tick_top()
    axes.tick_params(labelsize=size, length=0)
    axes.xaxis.set_label_position('top')
    axes.set_xlabel('predicted class', size=size)
    axes.set_ylabel('true class', size=size)
    for row, column in zip(*np.nonzero(counts), strict=True):
        axes.text(
            column,
            row,
            str(counts[row, column]),
            size=size,
            color='white' if amounts[row, column] > 0.5 else 'black',
            ha='center',
            va='center',
            in_layout=False,
        )
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', bbox_inches='tight', pad_inches=8 / _DPI)
    return Image.open(buffer).convert('RGB')
