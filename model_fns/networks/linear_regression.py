"""Linear regression."""

import tensorflow as tf

from model_fns.layers.layer_builder import LayerBuilder
from model_fns.registry import register


@register('linear_regression', head='regression')
def linear_regression(net: LayerBuilder, x: tf.Tensor, num_outputs: int) -> tf.Tensor:
    """Linear regression: y = Wx + b on a vector of numbers.

    Args:
      net: the layers.
      x: float32 [B, D], or [B] for one number each.
      num_outputs: 1 for `heads.regression`.

    Returns:
      [B, num_outputs].
    """
    if x.shape.rank == 1:
        x = x[:, None]
    return net.dense('y', net.flatten(x), num_outputs, kernel_initializer='zeros')
