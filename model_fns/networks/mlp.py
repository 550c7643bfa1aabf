"""Multi-layer perceptron."""

import tensorflow as tf

from model_fns.layers.layer_builder import LayerBuilder
from model_fns.registry import register


@register('mlp')
def mlp(
    net: LayerBuilder,
    images: tf.Tensor,
    num_classes: int,
    *,
    hidden: tuple[int, ...] = (256, 128),
    activation: str = 'relu',
    dropout: float = 0.0,
) -> tf.Tensor:
    """Multi-layer perceptron: dense layers on the flattened image.

    Args:
      net: the layers.
      images: float32 [B, H, W, C], normalized.
      num_classes: number of classes.
      hidden: units of each hidden layer.
      activation: after each hidden layer.
      dropout: share of each hidden layer's outputs that training drops.

    Returns:
      logits [B, num_classes].
    """
    activate = net.activation(activation)
    initializer = net.initializer_for(activation)
    x = net.flatten(images)
    for i, units in enumerate(hidden, 1):
        name = f'dense{i}'
        x = activate(net.dense(name, x, units, kernel_initializer=initializer))
        x = net.dropout(name, x, dropout)
    return net.dense('logits', x, num_classes, kernel_initializer='glorot_normal')
