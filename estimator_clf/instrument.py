"""Hands to the hooks what passes through a model_fn."""

from collections.abc import Mapping

from estimator_clf.compat import estimator

import tensorflow as tf

v1 = tf.compat.v1

METRICS = 'train_metrics'  # (name, scalar tensor), as model_fns.head writes it.
KEYS = 'example_keys'
IMAGES = 'example_images'


def instrument(model_fn):
    """Wraps a model_fn so that its input can be watched by hooks.

    In training, the feature 'input_wait' joins the graph collection `METRICS`, 'key'
    `KEYS` and 'image' `IMAGES`; the model_fn sees all other features as they are.

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
                v1.add_to_collection(METRICS, Named('input_wait', wait))
            if 'key' in features:
                v1.add_to_collection(KEYS, features['key'])
            if 'image' in features:
                v1.add_to_collection(IMAGES, features['image'])
        return model_fn(features, labels, mode=mode)

    return wrapped


class Named(tuple):
    """A pair (name, tensor) that a MetaGraphDef can hold, see `model_fns.head`."""

    def __new__(cls, name, tensor):
        return super().__new__(cls, (name, tensor))

    @property
    def name(self):
        """Name of the tensor."""
        return self[1].name


def _known(name):
    # Every replica passes by; the first one's clock is enough.
    return any(n == name for n, _ in v1.get_collection(METRICS))
