"""TensorBoard's event files."""

import functools

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import tensorflow as tf

v1 = tf.compat.v1


@functools.cache
def event_writer(directory):
    """Returns the one writer of TensorBoard events for a directory."""
    # Not of FileWriterCache: that would write the graph of the moment as the run's. It
    # refuses to be made outside of a graph.
    with tf.Graph().as_default():
        return v1.summary.FileWriter(directory)


class LazyWriter:
    """The writer of a directory, which is not there before something is written."""

    def __init__(self, directory):
        self._directory = directory

    def add_summary(self, summary, step=None):
        """Like `tf.compat.v1.summary.FileWriter.add_summary`."""
        event_writer(self._directory).add_summary(summary, step)


def write_scalars(writer, step, metrics):
    """Writes metrics as TensorBoard scalars, and flushes.

    Args:
      writer: `tf.compat.v1.summary.FileWriter`.
      step: int.
      metrics: dict tag -> number.
    """
    values = [
        v1.Summary.Value(tag=tag, simple_value=float(value))
        for tag, value in metrics.items()
    ]
    writer.add_summary(v1.Summary(value=values), step)
    writer.flush()
