"""AlexNet, as published, and a variant for small images."""

import tensorflow as tf

from estimator_clf.core import errors
from model_fns.layers.layer_builder import LayerBuilder
from model_fns.registry import register


@register('alexnet')
def alexnet(
    net: LayerBuilder,
    images: tf.Tensor,
    num_classes: int,
    *,
    groups: int = 2,
    hidden: tuple[int, ...] = (4096, 4096),
    dropout: float = 0.5,
) -> tf.Tensor:
    """AlexNet for 224x224: five convolutions, LRN, overlapping pools, three dense.

    Krizhevsky, Sutskever and Hinton, 2012, "ImageNet Classification with Deep
    Convolutional Neural Networks", section 3. For 224x224x3 and 1000 classes the
    default, the published network, has 60,965,224 weights: the inputs of the second,
    fourth and fifth convolutions are the half of the channels on the same GPU.
    `groups=1` is the network in one tower, as in most reimplementations: 62,378,344.
    The first layer has 34,944 in both.

    The paper's 224 pixels do not give its 55 outputs; 227 do (224 and three of padding,
    the common interpretation). Here every image is padded by three pixels.

    Args:
      net: the layers.
      images: float32 [B, H, W, C], normalized; H and W at least 64.
      num_classes: number of classes.
      groups: 2 as published, 1 for one tower.
      hidden: units of each dense layer.
      dropout: share of each dense layer's outputs that training drops.

    Returns:
      logits [B, num_classes].

    Raises:
      SettingError: images that are too small.
    """
    _, height, width, _ = images.shape
    if min(height, width) < 64:
        raise errors.SettingError(
            f"`network`: 'alexnet' requires images of at least 64x64 pixels, got "
            f'{height}x{width}; use alexnet_small, or larger images by `image_size`'
        )
    x = tf.pad(images, ((0, 0), (1, 2), (1, 2), (0, 0)))
    x = tf.nn.relu(net.conv('conv1', x, 96, 11, strides=4, padding='VALID'))
    x = net.max_pool(_normalized(net, x), 3, 2)
    x = tf.nn.relu(net.conv('conv2', x, 256, 5, groups=groups))
    x = net.max_pool(_normalized(net, x), 3, 2)
    x = tf.nn.relu(net.conv('conv3', x, 384, 3))
    x = tf.nn.relu(net.conv('conv4', x, 384, 3, groups=groups))
    x = tf.nn.relu(net.conv('conv5', x, 256, 3, groups=groups))
    x = net.flatten(net.max_pool(x, 3, 2))
    for i, units in enumerate(hidden, 6):
        name = f'dense{i}'
        x = net.dropout(name, tf.nn.relu(net.dense(name, x, units)), dropout)
    return net.dense('logits', x, num_classes, kernel_initializer='glorot_normal')


@register('alexnet_small')
def alexnet_small(
    net: LayerBuilder,
    images: tf.Tensor,
    num_classes: int,
    *,
    filters: tuple[int, ...] = (64, 128, 192, 192, 128),
    hidden: tuple[int, ...] = (512, 512),
    dropout: float = 0.5,
    batch_norm: bool = False,
) -> tf.Tensor:
    """AlexNet for 32x32: the same order of layers, 3x3 convolutions, no strides.

    As in AlexNet there are five convolutions, the first two and the last followed by a
    pooling of 3x3 every 2 pixels, the first two by local response normalization, and
    two dense layers with dropout. For 32x32x3 and 10 classes it has 2,167,178 weights.

    Args:
      net: the layers.
      images: float32 [B, H, W, C], normalized.
      num_classes: number of classes.
      filters: output channels of the five convolutions.
      hidden: units of each dense layer.
      dropout: share of each dense layer's outputs that training drops.
      batch_norm: batch normalization, before each activation, in place of local
        response normalization.

    Returns:
      logits [B, num_classes].

    Raises:
      SettingError: another number of convolutions than five.
    """
    if len(filters) != 5:
        raise errors.SettingError(f'filters must be five numbers, got {len(filters)}')
    x = images
    for i, channels in enumerate(filters, 1):
        x = net.conv(f'conv{i}', x, channels, 3, use_bias=not batch_norm)
        if batch_norm:
            x = net.batch_norm(f'norm{i}', x)
        x = tf.nn.relu(x)
        if i <= 2 and not batch_norm:
            x = _normalized(net, x)
        if i in (1, 2, 5):
            x = net.max_pool(x, 3, 2, 'SAME')
    x = net.flatten(x)
    for i, units in enumerate(hidden, 6):
        name = f'dense{i}'
        x = net.dense(name, x, units, use_bias=not batch_norm)
        if batch_norm:
            x = net.batch_norm(f'norm{i}', x)
        x = net.dropout(name, tf.nn.relu(x), dropout)
    return net.dense('logits', x, num_classes, kernel_initializer='glorot_normal')


def _normalized(net, x):
    # Section 3.3 of the paper: k, n, alpha and beta are 2, 5, 1e-4 and 0.75.
    return net.local_response_norm(x, radius=2, bias=2.0, alpha=1e-4, beta=0.75)
