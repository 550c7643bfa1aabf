"""Publishes the training batch of a model_fn for hooks."""

from collections.abc import Callable, Mapping

from estimator_clf.compat import estimator

import tensorflow as tf

from estimator_clf.core.graph_collections import (
    EXAMPLE_IMAGES,
    EXAMPLE_KEYS,
    TRAIN_METRICS,
    publish,
    published,
)

v1 = tf.compat.v1


def instrument(model_fn: Callable) -> Callable:
    """Wraps a model_fn so that hooks can fetch its training batch.

    In training, the feature 'input_wait' is added to the graph collection
    `TRAIN_METRICS` and removed, 'key' is added to `EXAMPLE_KEYS` and 'image' to
    `EXAMPLE_IMAGES`; the model_fn receives all other features unchanged.

    Args:
      model_fn: function (features, labels, mode) -> EstimatorSpec.

    Returns:
      A function with the same signature.
    """

    def wrapped(features, labels, mode):
        if mode == estimator.ModeKeys.TRAIN and isinstance(features, Mapping):
            features = dict(features)
            wait = features.pop('input_wait', None)
            # Every replica calls this; the clock of the first one is enough.
            if 'input_wait' not in published(TRAIN_METRICS):
                publish(TRAIN_METRICS, input_wait=wait)
            if 'key' in features:
                v1.add_to_collection(EXAMPLE_KEYS, features['key'])
            if 'image' in features:
                v1.add_to_collection(EXAMPLE_IMAGES, features['image'])
        return model_fn(features, labels, mode=mode)

    return wrapped
