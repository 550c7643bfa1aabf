"""The confusion matrix: as an image, and as tables."""

import numpy as np

from estimator_clf.evaluation.plots.eval_callback import EvalCallback, choose
from estimator_clf.loggers import drawing, summary_protos

# Above this neither the image nor the table of the classes can be read.
MAX_CLASSES = 50

# The counts grow with the square of the classes; these take 32 MB.
_MOST = 2000

_PAIRS = 20


class ConfusionMatrix(EvalCallback):
    """Counts which class was taken for which, exactly.

    Writes the image 'evaluation/confusion_matrix' and the texts 'tables/classes'
    (precision, recall, F1, count of each) and 'tables/confused' (the pairs confused
    most often). With more than `MAX_CLASSES` classes it writes the last only, with more
    than 2,000 nothing.
    """

    def __init__(self, writer, class_names):
        """Makes the eval_callback.

        Args:
          writer: `tf.compat.v1.summary.FileWriter`.
          class_names: in the order of the labels.
        """
        self._writer = writer
        self._names = [str(name) for name in class_names]

    def fetches(self, tensors):
        if len(self._names) > _MOST:
            return {}
        return choose(tensors, 'labels', 'probabilities')

    def on_begin(self):
        size = len(self._names)
        self._counts = np.zeros((size, size), np.int64)

    def on_batch(self, values):
        predicted = np.argmax(values['probabilities'], axis=1)
        np.add.at(self._counts, (values['labels'], predicted), 1)

    def on_end(self, step):
        if len(self._names) <= MAX_CLASSES:
            # Few colors: a third of the size.
            picture = draw(self._counts, self._names).quantize(64, dither=0)
            self._write(
                summary_protos.image('evaluation/confusion_matrix', picture), step
            )
            table = class_table(self._counts, self._names)
            self._write(summary_protos.text('tables/classes', table), step)
        pairs = confused_table(self._counts, self._names)
        self._write(summary_protos.text('tables/confused', pairs), step)

    def _write(self, summary, step):
        self._writer.add_summary(summary, step)


def class_table(counts, names):
    """Lays out precision, recall, F1 and count of each class, in Markdown.

    Args:
      counts: int64 [classes, classes]: true class by predicted class.
      names: of the classes.
    """
    right = np.diag(counts)
    actual, predicted = counts.sum(axis=1), counts.sum(axis=0)
    # 0 where it would be 0 / 0, as the scalars have it.
    precision = right / predicted.clip(min=1)
    recall = right / actual.clip(min=1)
    f1 = 2 * right / (actual + predicted).clip(min=1)
    columns = (names, precision.tolist(), recall.tolist(), f1.tolist(), actual.tolist())
    rows = list(zip(*columns, strict=True))
    return summary_protos.markdown_table(
        ['class', 'precision', 'recall', 'F1', 'count'], rows
    )


def confused_table(counts, names):
    """Lays out the pairs of classes that are confused most often, in Markdown.

    Args:
      counts: int64 [classes, classes]: true class by predicted class.
      names: of the classes.
    """
    wrong = counts * (1 - np.eye(len(names), dtype=np.int64))
    # Stable: of equals, the order of the classes.
    order = np.argsort(-wrong, axis=None, kind='stable')[:_PAIRS]
    rows = []
    for true, predicted in zip(*np.unravel_index(order, wrong.shape), strict=True):
        count = int(wrong[true, predicted])
        if count:
            share = float(count / counts[true].sum())
            rows.append([names[true], names[predicted], count, share])
    if not rows:
        return 'No example was taken for one of another class.'
    header = ['true class', 'predicted', 'count', 'share of the true class']
    return summary_protos.markdown_table(header, rows)


def draw(counts, names):
    """Draws the matrix: a row for each true class, a column for each predicted one.

    The color is the share of the row, by its square root, so that rare confusions
    show: blue where it is right, red where it is wrong.

    Args:
      counts: int64 [classes, classes]: true class by predicted class.
      names: of the classes.

    Returns:
      `PIL.Image.Image`.
    """
    digits = len(str(counts.max(initial=0)))
    size = 14 if len(names) <= 20 else 11
    cell = max(2 * size, drawing.text_width('0' * digits, size) + 8)
    labels = [drawing.shorten(name, size, 150) for name in names]
    margin = max(drawing.text_width(label, size) for label in labels) + 10
    side, title = cell * len(names), size + 12
    left, top = title + margin, title + margin
    picture, draw = drawing.canvas(left + side + 8, top + side + 8)

    middle = left + side // 2
    font = drawing.font(size)
    draw.text((middle, 4), 'predicted', drawing.FAINT, font, anchor='ma')
    drawing.upright(
        picture,
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
        drawing.upright(picture, left + at, top - 6, label, size)
        for j, share in enumerate(shares[i]):
            x, y = left + cell * j, top + cell * i
            box = (x, y, x + cell - 1, y + cell - 1)
            draw.rectangle(box, _color(share, i == j), (225, 228, 232))
            if counts[i, j]:
                ink = 'white' if share > 0.25 else drawing.INK
                at_middle = (x + cell // 2, y + cell // 2)
                draw.text(at_middle, str(counts[i, j]), ink, font, anchor='mm')
    return picture


def _color(share, right):
    full = (21, 88, 176) if right else (190, 40, 30)
    amount = share**0.5
    return tuple(round(255 + (c - 255) * amount) for c in full)
