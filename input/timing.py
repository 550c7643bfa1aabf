"""How long the reader of a dataset waits for each batch, measured in the graph."""

import tensorflow as tf


def timed(dataset):
    """Adds to the features how long their reader had to wait for them.

    `zip` asks its datasets one after the other in the caller's thread, so a clock
    before and a clock behind enclose exactly the time for which the caller is
    blocked. Both clocks must not be prefetched: switch `inject_prefetch` off.

    Args:
      dataset: tf.data.Dataset of (features dict, labels).

    Returns:
      The dataset with features['input_wait'], float64 scalar, seconds.
    """
    clock = tf.data.Dataset.counter().map(lambda _: tf.timestamp())

    def merge(before, element, after):
        features, labels = element
        return dict(features, input_wait=after - before), labels

    return tf.data.Dataset.zip((clock, dataset, clock)).map(merge)
