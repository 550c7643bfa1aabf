"""Measures in the graph how long the reader of a dataset waits for each batch."""

import tensorflow as tf


def timed(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Adds the time that the reader waited to the features.

    `zip` fetches from its datasets one after the other in the caller's thread, so a
    clock before, and one in the function after, enclose exactly the time for which the
    caller is blocked. The function must read its clock itself: without a side effect
    it would be run ahead, in parallel, and count idling as waiting. For the same reason
    nothing may be prefetched after it: turn `inject_prefetch` off.

    Args:
      dataset: tf.data.Dataset of (features dict, labels).

    Returns:
      The dataset with features['input_wait'], float64 scalar, seconds.
    """
    clock = tf.data.Dataset.counter().map(lambda _: tf.timestamp())

    def merge(before, element):
        features, labels = element
        with tf.control_dependencies(tf.nest.flatten(element)):
            wait = tf.timestamp() - before
        return dict(features, input_wait=wait), labels

    return tf.data.Dataset.zip((clock, dataset)).map(merge)
