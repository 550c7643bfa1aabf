"""Variables that exist for one evaluation and are in no checkpoint."""

from collections.abc import Sequence
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

v1 = tf.compat.v1


def local_variable(
    name: str, shape: Sequence[int] = (), dtype: tf.DType = tf.float32
) -> Any:
    """Creates a local variable that starts at zero."""
    return v1.get_variable(
        name,
        list(shape),
        dtype,
        initializer=v1.zeros_initializer(),
        trainable=False,
        collections=[v1.GraphKeys.LOCAL_VARIABLES],
        use_resource=True,
    )
