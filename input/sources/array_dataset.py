"""Feeds NumPy arrays to tf.data without embedding them in the graph."""

from collections.abc import Callable, Iterable
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import numpy as np
import tensorflow as tf


def array_dataset(
    load: Callable[[], tuple[np.ndarray, ...]],
    like: Iterable[Any],
    run: Callable[..., tf.data.Dataset],
) -> tf.data.Dataset:
    """Makes a dataset from arrays.

    They pass through a Python function each time the dataset starts: constants would be
    written into every graph file and checkpoint of the graph.

    Args:
      load: returns the arrays.
      like: their shapes and dtypes: the arrays, or objects with `shape` and `dtype`.
      run: makes a dataset from the arrays as tensors.

    Returns:
      The dataset that `run` returns.
    """
    like = list(like)

    def loaded(_):
        tensors = tf.numpy_function(load, [], [one.dtype for one in like])
        for tensor, one in zip(tensors, like, strict=True):
            tensor.set_shape(one.shape)
        return tuple(tensors)

    return tf.data.Dataset.range(1).map(loaded).flat_map(run)
