"""Sample images, weight histograms and the graph for TensorBoard."""

from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from estimator_clf.core.graph_collections import EXAMPLE_IMAGES
from estimator_clf.core.intervals import due
from estimator_clf.hooks.base import StepHook
from estimator_clf.loggers import drawing, summary_protos

v1 = tf.compat.v1

_EDGE = 96  # Of an image, in pixels.
_COLUMNS = 6


class InputSamplesHook(StepHook):
    """Writes sample images as they enter the network, and weight histograms.

    The images are fetched along with a training step: a `session.run` of their own
    would consume a batch and so change the order of the examples.
    """

    def __init__(
        self,
        writer: tf.compat.v1.summary.FileWriter,
        every: float,
        image_collection: str = EXAMPLE_IMAGES,
        histograms: bool = False,
        count: int = 12,
    ) -> None:
        """Makes the hook.

        Args:
          writer: writer of the model_dir.
          every: interval in steps; the first step of a session is always sampled.
          image_collection: graph collection of the images [B, H, W, C].
          histograms: whether to write a histogram of every trainable variable.
          count: number of images, arranged in a single one.
        """
        self._writer = writer
        self._every = every
        self._collection = image_collection
        self._histograms = histograms
        self._count = count
        self._fetch_next = True

    def begin(self) -> None:
        images = v1.get_collection(self._collection)
        self._fetches: dict[str, Any] = {}
        if images:
            self._fetches['images'] = images[0][: self._count]
        if self._histograms:
            self._fetches['weights'] = v1.summary.merge(
                [
                    # The bare variable name would be made unique with a suffix.
                    v1.summary.histogram(
                        f'weights/{v.op.name}', _finite(v), collections=[]
                    )
                    for v in v1.trainable_variables()
                ],
                collections=[],
            )

    def on_start(self, session: tf.compat.v1.Session) -> None:
        self._writer.add_graph(session.graph)

    def before_run(self, run_context: Any) -> Any:
        return v1.train.SessionRunArgs(self._fetches if self._fetch_next else {})

    def after_step(self, run_context: Any, results: Any) -> None:
        if 'images' in results:
            grid = drawing.grid(results['images'], _EDGE, _COLUMNS)
            self._writer.add_summary(summary_protos.image('input', grid), self.step)
        if 'weights' in results:
            self._writer.add_summary(results['weights'], self.step)
        self._fetch_next = due(self.step + 1, self._every)


def _finite(variable):
    """Returns the finite values of a variable.

    For others the histogram op raises, before `NanGuardHook` can name the step.
    """
    values = tf.reshape(variable, [-1])
    return tf.boolean_mask(values, tf.math.is_finite(values))
