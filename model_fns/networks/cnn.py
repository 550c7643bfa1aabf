"""A small convolutional network."""

import functools

import tensorflow as tf

from estimator_clf.core import errors
from model_fns.layers.layer_builder import LayerBuilder
from model_fns.registry import register


@register('cnn')
def cnn(
    net: LayerBuilder,
    images: tf.Tensor,
    num_classes: int,
    *,
    filters: tuple[int, ...] = (),
    kernel: int = 5,
    hidden: tuple[int, ...] = (1024,),
    dropout: float = 0.5,
    activation: str = 'relu',
    batch_norm: bool = False,
) -> tf.Tensor:
    """[conv, relu, pool] x n, dense, relu, dropout, dense; n by the size of images.

    Each pooling halves the image. The first dense layer has most of the weights, 3.2
    million for 28x28; larger images have more convolutions, so that its input is at
    most 8x8 pixels: two for 28x28 and 32x32, three for 64x64, five for 224x224.

    Args:
      net: the layers.
      images: float32 [B, H, W, C], normalized; H and W at least 2 ** len(filters).
      num_classes: number of classes.
      filters: output channels of each convolution; none: 32, and 64 for each further
        one.
      kernel: height and width of the convolutions in pixels.
      hidden: units of each dense layer.
      dropout: share of each dense layer's outputs that training drops.
      activation: after each layer but the last.
      batch_norm: whether each convolution is followed by batch normalization.

    Returns:
      logits [B, num_classes].

    Raises:
      SettingError: images too small for the number of poolings.
    """
    _, height, width, _ = images.shape
    filters = filters or _filters(height, width)
    least = 2 ** len(filters)
    if min(height, width) < least:
        raise errors.SettingError(
            f"`network`: 'cnn' with {len(filters)} poolings requires images of at "
            f'least {least}x{least} pixels, got {height}x{width}; set fewer filters, '
            'or use larger images'
        )
    activate = net.activation(activation)
    initializer = net.initializer_for(activation)
    conv = functools.partial(
        net.conv, use_bias=not batch_norm, kernel_initializer=initializer
    )
    x = images
    for i, channels in enumerate(filters, 1):
        x = conv(f'conv{i}', x, channels, kernel)
        if batch_norm:
            x = net.batch_norm(f'norm{i}', x)
        x = net.max_pool(activate(x))
    x = net.flatten(x)
    for i, units in enumerate(hidden, 1):
        name = f'dense{i}'
        x = activate(net.dense(name, x, units, kernel_initializer=initializer))
        x = net.dropout(name, x, dropout)
    return net.dense('logits', x, num_classes, kernel_initializer='glorot_normal')


def _filters(height, width):
    """Returns the filters of at least two convolutions that leave at most 8 pixels."""
    filters = [32, 64]
    while max(height, width) >> len(filters) > 8:
        if not min(height, width) >> (len(filters) + 1):
            break
        filters.append(64)
    return filters
