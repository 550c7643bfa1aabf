"""Writers of TensorBoard event files."""

import functools
from collections.abc import Mapping

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

v1 = tf.compat.v1


@functools.cache
def event_writer(directory: str) -> tf.compat.v1.summary.FileWriter:
    """Returns the one writer of TensorBoard events for a directory."""
    # FileWriterCache would write the current graph as that of the run. FileWriter
    # cannot be made in eager mode.
    with tf.Graph().as_default():
        return v1.summary.FileWriter(directory)


class LazyWriter:
    """Writer that creates its directory and file at the first summary."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def add_summary(
        self, summary: tf.compat.v1.Summary | bytes, step: int | None = None
    ) -> None:
        """Like `tf.compat.v1.summary.FileWriter.add_summary`."""
        event_writer(self._directory).add_summary(summary, step)


def write_scalars(
    writer: tf.compat.v1.summary.FileWriter, step: int, metrics: Mapping[str, float]
) -> None:
    """Writes metrics as TensorBoard scalars, tag by tag, and flushes."""
    values = [
        v1.Summary.Value(tag=tag, simple_value=float(value))
        for tag, value in metrics.items()
    ]
    writer.add_summary(v1.Summary(value=values), step)
    writer.flush()
