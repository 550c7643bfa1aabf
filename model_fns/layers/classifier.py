"""Classifier after a pretrained backbone: pooling, dense layers, logits."""

from collections.abc import Sequence

import tensorflow as tf

from estimator_clf.core import errors
from model_fns.layers.layer_builder import LayerBuilder

#: Values of `pooling`.
POOLINGS = ('avg', 'max', 'avg+max', 'none')


def classify(
    net: LayerBuilder,
    x: tf.Tensor,
    num_classes: int,
    pooling: str,
    hidden: Sequence[int],
    dropout: float,
) -> tf.Tensor:
    """Computes logits from the last feature map of a backbone.

    Args:
      net: the layers.
      x: [B, H, W, C], or [B, D], which is not pooled.
      num_classes: number of classes.
      pooling: see `pool`.
      hidden: units of the dense layers with ReLU before the logits.
      dropout: share of the inputs of each dense layer that training drops.

    Returns:
      logits [B, num_classes].

    Raises:
      SettingError: an unknown pooling.
    """
    if x.shape.rank == 4:
        x = pool(net, x, pooling)
    for i, units in enumerate(hidden, 1):
        x = net.dropout(f'hidden{i}', x, dropout)
        x = tf.nn.relu(net.dense(f'hidden{i}', x, units))
    x = net.dropout('logits', x, dropout)
    return net.dense('logits', x, num_classes, kernel_initializer='glorot_normal')


def pool(net: LayerBuilder, x: tf.Tensor, pooling: str) -> tf.Tensor:
    """Makes one vector per image of a feature map.

    Args:
      net: the layers.
      x: [B, H, W, C].
      pooling: 'avg' or 'max' over all pixels; 'avg+max', both side by side; 'none',
        all values.

    Returns:
      [B, C], [B, 2 C] or [B, H * W * C].

    Raises:
      SettingError: an unknown pooling.
    """
    if pooling == 'avg':
        return net.global_average_pool(x)
    if pooling == 'max':
        return tf.reduce_max(x, axis=(1, 2))
    if pooling == 'avg+max':
        parts = net.global_average_pool(x), tf.reduce_max(x, axis=(1, 2))
        return tf.concat(parts, axis=-1)
    if pooling == 'none':
        return net.flatten(x)
    raise errors.unknown('pooling', 'pooling', pooling, POOLINGS)
