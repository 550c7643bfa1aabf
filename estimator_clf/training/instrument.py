"""Hands to the hooks what passes through a model_fn."""

from collections.abc import Mapping

from estimator_clf.compat import estimator

import tensorflow as tf

from estimator_clf.core.graph_collections import (
    EXAMPLE_IMAGES,
    EXAMPLE_KEYS,
    TRAIN_METRICS,
    NamedTensor,
)

v1 = tf.compat.v1


def instrument(model_fn):
    """Wraps a model_fn so that its input can be watched by hooks.

    In training, the feature 'input_wait' joins the graph collection `TRAIN_METRICS`,
    'key'
    `EXAMPLE_KEYS` and 'image' `EXAMPLE_IMAGES`; the model_fn sees all other features as
    they are.

    Args:
      model_fn: function (features, labels, mode) -> EstimatorSpec.

    Returns:
      The same kind of function.
    """

    def wrapped(features, labels, mode):
        if mode == estimator.ModeKeys.TRAIN and isinstance(features, Mapping):
            features = dict(features)
            wait = features.pop('input_wait', None)
            if wait is not None and not _known('input_wait'):
                v1.add_to_collection(TRAIN_METRICS, NamedTensor('input_wait', wait))
            if 'key' in features:
                v1.add_to_collection(EXAMPLE_KEYS, features['key'])
            if 'image' in features:
                v1.add_to_collection(EXAMPLE_IMAGES, features['image'])
        return model_fn(features, labels, mode=mode)

    return wrapped


def _known(name):
    # Every replica passes by; the first one's clock is enough.
    return any(n == name for n, _ in v1.get_collection(TRAIN_METRICS))
