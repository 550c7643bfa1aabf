"""Arrays that a dataset is handed when it begins to be read."""

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import tensorflow as tf


def with_arrays(load, like, run):
    """Makes a dataset out of arrays.

    They come through a Python function, once whenever the dataset is read: constants
    would be written into every graph file and checkpoint of the graph.

    Args:
      load: function without arguments that returns a tuple of arrays.
      like: their shapes and dtypes: the arrays, or anything with `shape` and `dtype`.
      run: function of as many tensors that returns a dataset.

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
