"""Sample images, weight histograms and the graph for TensorBoard."""

import tensorflow as tf

from estimator_clf.core.intervals import due
from estimator_clf.hooks.base import StepHook
from estimator_clf.loggers import drawing, summary_protos

v1 = tf.compat.v1

_EDGE = 96  # Of an image, in pixels.
_COLUMNS = 6


class InputSamplesHook(StepHook):
    """Writes a sample of the input as the network gets it, and histograms.

    The images are fetched in a step that is taken anyway: a run of their own would
    draw a batch from the input and so change the order of the examples.
    """

    def __init__(self, writer, every, image_collection, histograms=False, count=12):
        """Makes the hook.

        Args:
          writer: `tf.compat.v1.summary.FileWriter`.
          every: interval in steps; the first step of a session is always sampled.
          image_collection: graph collection that holds the images [B, H, W, C].
          histograms: whether to write a histogram of every trainable variable.
          count: how many images; they are written as one.
        """
        self._writer = writer
        self._every = every
        self._collection = image_collection
        self._histograms = histograms
        self._count = count
        self._ask = True

    def begin(self):
        images = v1.get_collection(self._collection)
        self._fetches = {}
        if images:
            self._fetches['images'] = images[0][: self._count]
        if self._histograms:
            self._fetches['weights'] = v1.summary.merge(
                [
                    # By its own name alone it would be taken for a second one.
                    v1.summary.histogram(
                        f'weights/{v.op.name}', _finite(v), collections=[]
                    )
                    for v in v1.trainable_variables()
                ],
                collections=[],
            )

    def on_start(self, session):
        self._writer.add_graph(session.graph)

    def before_run(self, run_context):
        return v1.train.SessionRunArgs(self._fetches if self._ask else {})

    def after_step(self, run_context, results):
        if 'images' in results:
            picture = drawing.grid(results['images'], _EDGE, _COLUMNS)
            self._writer.add_summary(summary_protos.image('input', picture), self.step)
        if 'weights' in results:
            self._writer.add_summary(results['weights'], self.step)
        self._ask = due(self.step + 1, self._every)


def _finite(variable):
    """Those of a variable's values that a histogram takes.

    Of others it makes an error, before `NanGuardHook` could say what has happened.
    """
    values = tf.reshape(variable, [-1])
    return tf.boolean_mask(values, tf.math.is_finite(values))
