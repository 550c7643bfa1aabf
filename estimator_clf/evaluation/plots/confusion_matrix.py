"""Confusion matrix of an evaluation, as an image and as tables."""

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
            examples = int(counts[true].sum())
            share = count / examples
            rows.append([names[true], names[predicted], count, examples, share])
    if not rows:
        return 'All examples were classified correctly.'
    header = [
        'true class',
        'predicted',
        'count',
        'examples of the true class',
        'share of the true class',
    ]
    return summary_protos.markdown_table(header, rows)


def render_confusion_matrix(counts: np.ndarray, names: Sequence[str]) -> Image.Image:
    """Renders the matrix: a row per true class, a column per predicted class.

    The color is the square root of the share of the row, so that rare confusions are
    visible: blue on the diagonal, red elsewhere. Cells without examples stay empty.
    Rendered with Pillow: matplotlib takes half a second to import and five times as
    long per image.

    Args:
      counts: int64 [classes, classes]: true class by predicted class.
      names: class names in the order of the labels.

    Returns:
      RGB image.
    """
    digits = len(str(counts.max(initial=0)))
    size = 14 if len(names) <= 20 else 11
    cell = max(2 * size, drawing.text_width('0' * digits, size) + 8)
    labels = [drawing.shorten(name, size, 150) for name in names]
    margin = max(drawing.text_width(label, size) for label in labels) + 10
    side, title = cell * len(names), size + 12
    left, top = title + margin, title + margin
    image, draw = drawing.canvas(left + side + 8, top + side + 8)

    font = drawing.font(size)
    draw.text((left + side // 2, 4), 'predicted', drawing.FAINT, font, anchor='ma')
    drawing.upright(
        image,
        title // 2,
        top + side // 2 + drawing.text_width('true class', size) // 2,
        'true class',
        size,
        drawing.FAINT,
    )
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    for i, label in enumerate(labels):
        at = cell * i + cell // 2
        draw.text((left - 6, top + at), label, drawing.INK, font, anchor='rm')
        drawing.upright(image, left + at, top - 6, label, size)
        for j, share in enumerate(shares[i]):
            x, y = left + cell * j, top + cell * i
            box = (x, y, x + cell - 1, y + cell - 1)
            draw.rectangle(box, _color(share, i == j), (225, 228, 232))
            if counts[i, j]:
                ink = 'white' if share > 0.25 else drawing.INK
                center = (x + cell // 2, y + cell // 2)
                draw.text(center, str(counts[i, j]), ink, font, anchor='mm')
    return image


def _color(share: float, correct: bool) -> tuple[int, ...]:
    full = (21, 88, 176) if correct else (190, 40, 30)
    amount = share**0.5
    return tuple(round(255 + (c - 255) * amount) for c in full)
