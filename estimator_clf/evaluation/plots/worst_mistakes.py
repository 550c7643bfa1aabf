"""Misclassified examples with the highest loss, as an image and as a table."""

from collections.abc import Sequence
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf
from PIL import Image

from estimator_clf.evaluation.local_variables import local_variable
from estimator_clf.evaluation.plots.eval_callback import (
    EvalCallback,
    Tensors,
    Values,
    select_tensors,
)
from estimator_clf.loggers import drawing, summary_protos

v1 = tf.compat.v1

_EDGE = 112  # Side of an image, in pixels.
_FONT_SIZE = 12
_COLUMNS = 5


class WorstMistakes(EvalCallback):
    """Collects the misclassified examples with the highest loss.

    Writes the image 'evaluation/mistakes', the highest loss first, and the text
    'tables/mistakes' with the full keys of the examples.

    A local variable of the graph holds the highest losses so far, and only images with
    a higher loss are fetched: about count * log(batches) of them per evaluation.
    """

    def __init__(
        self, writer: Any, class_names: Sequence[str], count: int = 20
    ) -> None:
        """Stores the arguments.

        Args:
          writer: `tf.compat.v1.summary.FileWriter` or `LazyWriter`.
          class_names: in the order of the labels.
          count: maximum number of examples.
        """
        self._writer = writer
        self._names = [str(name) for name in class_names]
        self._count = count

    def fetches(self, tensors: Tensors) -> Tensors:
        selected = select_tensors(
            tensors, 'labels', 'probabilities', 'losses', 'image', 'key'
        )
        if not selected:
            return {}
        losses = selected['losses']
        # A custom model_fn may have labels of any integer type.
        labels = selected['labels'] = tf.cast(selected['labels'], tf.int64)
        predicted = tf.argmax(selected['probabilities'], axis=1)
        # `!=` in a graph would compare the tensors as objects. NaN compares as false,
        # which excludes it.
        wrong = tf.not_equal(predicted, labels) & (losses > 0)
        values = tf.where(wrong, losses, tf.zeros_like(losses))
        worst = local_variable('board/worst_losses', [self._count])
        before = worst.read_value()
        top = tf.math.top_k(values, tf.minimum(self._count, tf.size(values)))
        index = tf.boolean_mask(top.indices, top.values > before[-1])
        after = tf.math.top_k(tf.concat([before, top.values], 0), self._count).values
        with tf.control_dependencies([before]):
            update = worst.assign(after, read_value=False)
        with tf.control_dependencies([update]):
            index = tf.identity(index)
        rows = {tag: tf.gather(tensor, index) for tag, tensor in selected.items()}
        probabilities = rows.pop('probabilities')
        rows['predicted'] = tf.gather(predicted, index)
        for name in ('labels', 'predicted'):
            rows[f'probability_of_{name}'] = tf.gather(
                probabilities, rows[name], batch_dims=1
            )
        return rows

    def on_begin(self) -> None:
        self._worst: list[Values] = []

    def on_batch(self, values: Values) -> None:
        count = len(values['losses'])
        if not count:
            return
        rows = [{tag: v[i] for tag, v in values.items()} for i in range(count)]
        ranked = sorted([*self._worst, *rows], key=lambda row: -row['losses'])
        self._worst = ranked[: self._count]

    def on_end(self, step: int) -> None:
        if not self._worst:
            table = 'All examples were classified correctly.'
        else:
            table = self._table()
            image = summary_protos.image('evaluation/mistakes', self._render())
            self._writer.add_summary(image, step)
        self._writer.add_summary(summary_protos.text('tables/mistakes', table), step)

    def _render(self) -> Image.Image:
        columns = min(_COLUMNS, len(self._worst))
        lines = -(-len(self._worst) // columns)
        gap, line = 10, _FONT_SIZE + 4
        width, height = _EDGE + gap, _EDGE + 3 * line + gap
        image, draw = drawing.canvas(columns * width + gap, lines * height + gap)
        for number, row in enumerate(self._worst):
            x = gap + number % columns * width
            y = gap + number // columns * height
            small = drawing.thumbnail(row['image'], _EDGE)
            offset = ((_EDGE - small.width) // 2, (_EDGE - small.height) // 2)
            image.paste(small, (x + offset[0], y + offset[1]))
            blue, red = (21, 88, 176), (190, 40, 30)
            captions = (
                ('is ', row['labels'], row['probability_of_labels'], blue),
                ('not ', row['predicted'], row['probability_of_predicted'], red),
            )
            y += _EDGE + 2
            for word, label, probability, ink in captions:
                share = f' ({probability:.0%})'
                space = _EDGE - drawing.text_width(word + share, _FONT_SIZE)
                name = drawing.shorten(self._names[label], _FONT_SIZE, space)
                draw.text((x, y), word + name + share, ink, drawing.font(_FONT_SIZE))
                y += line
            key = drawing.shorten(_text(row['key']), _FONT_SIZE - 2, _EDGE, keep='end')
            draw.text((x, y), key, drawing.FAINT, drawing.font(_FONT_SIZE - 2))
        return image

    def _table(self) -> str:
        header = ['key', 'true class', 'probability', 'predicted', 'probability']
        return summary_protos.markdown_table(
            header,
            [
                [
                    _text(row['key']),
                    self._names[row['labels']],
                    float(row['probability_of_labels']),
                    self._names[row['predicted']],
                    float(row['probability_of_predicted']),
                ]
                for row in self._worst
            ],
        )


def _text(key: bytes) -> str:
    return key.decode(errors='replace')
