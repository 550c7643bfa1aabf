"""Reads the input of a training loop inside the graph, and times the wait for it."""

from collections.abc import Callable
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

v1 = tf.compat.v1


def make_fetch(iterator: Any, pack: int) -> Callable:
    """Makes the function that fetches one batch per step.

    Args:
      iterator: of a dataset of batches.
      pack: number of steps whose batches one element holds, along a first dimension.

    Returns:
      Function (step of this session, int32 scalar) -> ((features, labels), seconds
      waited, float64 scalar).
    """
    return _packed(iterator, pack) if pack > 1 else _single(iterator)


def features_and_labels(element: Any) -> tuple:
    """Splits an element of a dataset as Estimator does; no labels are None."""
    if isinstance(element, (tuple, list)) and len(element) == 2:
        return tuple(element)
    return element, None


def _single(iterator):
    def fetch(step):
        del step
        return _timed(iterator)

    return fetch


def _timed(iterator):
    before = tf.timestamp()
    with tf.control_dependencies([before]):
        element = iterator.get_next()
    with tf.control_dependencies(tf.nest.flatten(element, expand_composites=True)):
        after = tf.timestamp()
    # The element is used only after the clock was read: on few threads, the work of
    # the step would otherwise delay the reading.
    with tf.control_dependencies([after]):
        element = tf.nest.map_structure(tf.identity, element, expand_composites=True)
    return features_and_labels(element), after - before


def _packed(iterator, pack):
    """Like `_single`, for elements that hold the batches of several steps.

    Between two session runs the element is in variables: a run may end in the middle
    of one.
    """
    spec = iterator.element_spec
    buffers = [
        v1.get_variable(
            f'steps_per_loop/element{number}',
            initializer=tf.zeros([n or 0 for n in part.shape], part.dtype),
            trainable=False,
            collections=[v1.GraphKeys.LOCAL_VARIABLES],
            use_resource=True,
        )
        for number, part in enumerate(tf.nest.flatten(spec))
    ]

    def fetch(step):
        place = step % pack

        def fill():
            (features, labels), wait = _timed(iterator)
            parts = tf.nest.flatten((features, labels))
            ops = [
                v.assign(t, read_value=False)
                for v, t in zip(buffers, parts, strict=True)
            ]
            with tf.control_dependencies(ops):
                return tf.identity(wait)

        wait = tf.cond(tf.equal(place, 0), fill, lambda: tf.constant(0.0, tf.float64))
        with tf.control_dependencies([wait]):
            parts = [v.read_value()[place] for v in buffers]
        return features_and_labels(tf.nest.pack_sequence_as(spec, parts)), wait

    return fetch
