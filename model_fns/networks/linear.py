"""Softmax regression."""

import tensorflow as tf

from model_fns.layers.layer_builder import LayerBuilder
from model_fns.registry import register


@register('linear')
def linear(net: LayerBuilder, images: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Softmax regression: one weight per class and pixel.

    The weights start at 0. The loss is convex, so the start does not matter, and the
    first loss is exactly log(num_classes), a simple check of a program.

    Args:
      net: the layers.
      images: float32 [B, H, W, C], normalized.
      num_classes: number of classes.

    Returns:
      logits [B, num_classes].
    """
    x = net.flatten(images)
    return net.dense('logits', x, num_classes, kernel_initializer='zeros')
