"""The worst mistakes: images with what they are and what they were taken for."""

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import tensorflow as tf

from estimator_clf.evaluation.plots.eval_callback import EvalCallback, choose
from estimator_clf.loggers import drawing, summary_protos

v1 = tf.compat.v1

_EDGE = 112  # Of an image, in pixels.
_SIZE = 12  # Of the letters.
_COLUMNS = 5


class WorstMistakes(EvalCallback):
    """Keeps the wrongly classified examples of the highest loss.

    Writes the image 'evaluation/mistakes', the worst first, and the text
    'tables/mistakes' with the examples' whole keys.

    The graph remembers the losses of the worst so far, and hands out only the images
    of a batch that are worse: about count * log(batches) of them in a whole pass.
    """

    def __init__(self, writer, class_names, count=20):
        """Makes the eval_callback.

        Args:
          writer: `tf.compat.v1.summary.FileWriter`.
          class_names: in the order of the labels.
          count: how many to keep.
        """
        self._writer = writer
        self._names = [str(name) for name in class_names]
        self._count = count

    def fetches(self, tensors):
        wanted = choose(tensors, 'labels', 'probabilities', 'losses', 'image', 'key')
        if not wanted:
            return {}
        losses = wanted['losses']
        # A program of one's own may have them in any type.
        labels = wanted['labels'] = tf.cast(wanted['labels'], tf.int64)
        predicted = tf.argmax(wanted['probabilities'], axis=1)
        # Not `!=`, which in a graph compares the tensors as objects. A loss that is not
        # a number compares as false, and so stays out.
        wrong = tf.not_equal(predicted, labels) & (losses > 0)
        values = tf.where(wrong, losses, tf.zeros_like(losses))
        worst = v1.get_variable(
            'board/worst_losses',
            [self._count],
            initializer=v1.zeros_initializer(),
            trainable=False,
            collections=[v1.GraphKeys.LOCAL_VARIABLES],
            use_resource=True,
        )
        before = worst.read_value()
        top = tf.math.top_k(values, tf.minimum(self._count, tf.size(values)))
        index = tf.boolean_mask(top.indices, top.values > before[-1])
        after = tf.math.top_k(tf.concat([before, top.values], 0), self._count).values
        with tf.control_dependencies([before]):
            update = worst.assign(after, read_value=False)
        with tf.control_dependencies([update]):
            index = tf.identity(index)
        rows = {tag: tf.gather(tensor, index) for tag, tensor in wanted.items()}
        chances = rows.pop('probabilities')
        rows['predicted'] = tf.gather(predicted, index)
        for name in ('labels', 'predicted'):
            rows[f'chance_of_{name}'] = tf.gather(chances, rows[name], batch_dims=1)
        return rows

    def on_begin(self):
        self._worst = []

    def on_batch(self, values):
        count = len(values['losses'])
        if not count:
            return
        rows = [{tag: v[i] for tag, v in values.items()} for i in range(count)]
        rows = sorted(self._worst + rows, key=lambda row: -row['losses'])
        self._worst = rows[: self._count]

    def on_end(self, step):
        if not self._worst:
            nothing = 'No example was classified wrongly.'
            self._writer.add_summary(
                summary_protos.text('tables/mistakes', nothing), step
            )
            return
        picture = self._draw()
        self._writer.add_summary(
            summary_protos.image('evaluation/mistakes', picture), step
        )
        self._writer.add_summary(
            summary_protos.text('tables/mistakes', self._table()), step
        )

    def _draw(self):
        columns = min(_COLUMNS, len(self._worst))
        lines = -(-len(self._worst) // columns)
        gap, line = 10, _SIZE + 4
        width, height = _EDGE + gap, _EDGE + 3 * line + gap
        picture, draw = drawing.canvas(columns * width + gap, lines * height + gap)
        for number, row in enumerate(self._worst):
            x = gap + number % columns * width
            y = gap + number // columns * height
            small = drawing.thumbnail(row['image'], _EDGE)
            offset = ((_EDGE - small.width) // 2, (_EDGE - small.height) // 2)
            picture.paste(small, (x + offset[0], y + offset[1]))
            captions = (
                ('is ', row['labels'], row['chance_of_labels'], (21, 88, 176)),
                ('not ', row['predicted'], row['chance_of_predicted'], (190, 40, 30)),
            )
            y += _EDGE + 2
            for word, label, chance, ink in captions:
                share = f' ({chance:.0%})'
                room = _EDGE - drawing.text_width(word + share, _SIZE)
                name = drawing.shorten(self._names[label], _SIZE, room)
                draw.text((x, y), word + name + share, ink, drawing.font(_SIZE))
                y += line
            key = drawing.shorten(_text(row['key']), _SIZE - 2, _EDGE, keep='end')
            draw.text((x, y), key, drawing.FAINT, drawing.font(_SIZE - 2))
        return picture

    def _table(self):
        header = ['key', 'true class', 'probability', 'predicted', 'probability']
        return summary_protos.markdown_table(
            header,
            [
                [
                    _text(row['key']),
                    self._names[row['labels']],
                    float(row['chance_of_labels']),
                    self._names[row['predicted']],
                    float(row['chance_of_predicted']),
                ]
                for row in self._worst
            ],
        )


def _text(key):
    return key.decode(errors='replace')
