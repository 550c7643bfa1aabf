"""Residual networks for CIFAR-10 and for ImageNet."""

import tensorflow as tf

from estimator_clf.core import errors
from model_fns.layers.layer_builder import LayerBuilder
from model_fns.registry import register

# Blocks of each stage (He et al., 2016, table 1), and whether they are bottlenecks.
_STAGES = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}

# Of the authors' and of Goyal et al., 2017, section 5.1.
_MOMENTUM, _EPSILON = 0.9, 1e-5


@register('resnet_cifar')
def resnet_cifar(
    net: LayerBuilder,
    images: tf.Tensor,
    num_classes: int,
    *,
    depth: int = 20,
    filters: int = 16,
    zero_gamma: bool = False,
) -> tf.Tensor:
    """Residual network for 32x32: depth 6n + 2, such as 20, 32, 44, 56, 110.

    He et al., 2016, "Deep Residual Learning for Image Recognition", section 4.2: a
    convolution, three stages of n blocks of two 3x3 convolutions, at full, half and
    quarter size, the mean over all pixels, a dense layer. Shortcuts have no weights:
    where the size changes they skip every second pixel and fill the new channels with
    zeros (option A). For 32x32x3 and 10 classes it has 0.27, 0.46, 0.66 and 0.85
    million weights at depth 20, 32, 44 and 56, as published.

    Args:
      net: the layers.
      images: float32 [B, H, W, C], normalized.
      num_classes: number of classes.
      depth: number of layers with weights.
      filters: channels of the first stage; the others have twice and four times that.
      zero_gamma: initialize each block to its shortcut alone (Goyal et al., 2017).

    Returns:
      logits [B, num_classes].

    Raises:
      SettingError: an unsupported depth.
    """
    blocks, rest = divmod(depth - 2, 6)
    if rest or blocks < 1:
        raise errors.SettingError(
            f'depth must be 8, 14, 20, 26, 32 or any other 6 n + 2, got {depth}'
        )
    x = tf.nn.relu(_conv(net, 'conv1', images, filters, 3))
    for stage in range(3):
        for block in range(blocks):
            channels = filters * 2**stage
            strides = 2 if stage and not block else 1
            shortcut = x
            if strides == 2:
                more = channels - x.shape[-1]
                half = more // 2
                shortcut = tf.pad(
                    x[:, ::2, ::2, :], ((0, 0), (0, 0), (0, 0), (half, more - half))
                )
            name = f'stage{stage + 1}/block{block + 1}'
            x = _basic(net, name, x, shortcut, channels, strides, zero_gamma)
    x = net.global_average_pool(x)
    return net.dense('logits', x, num_classes, kernel_initializer='glorot_normal')


@register('resnet')
def resnet(
    net: LayerBuilder,
    images: tf.Tensor,
    num_classes: int,
    *,
    depth: int = 50,
    zero_gamma: bool = True,
) -> tf.Tensor:
    """Residual network for 224x224: depth 18, 34, 50, 101 or 152, v1.5.

    He et al., 2016, "Deep Residual Learning for Image Recognition", table 1, with
    projections where the size changes (option B). Bottlenecks have their stride in the
    3x3 convolution, not in the first (v1.5; Goyal et al., 2017, section 5.1).
    For 224x224x3 and 1000 classes it has 11.69, 21.80 and 25.56 million weights at
    depth 18, 34 and 50, as published.

    Args:
      net: the layers.
      images: float32 [B, H, W, C], normalized.
      num_classes: number of classes.
      depth: number of layers with weights.
      zero_gamma: initialize each block to its shortcut alone (Goyal et al., 2017).

    Returns:
      logits [B, num_classes].

    Raises:
      SettingError: an unsupported depth.
    """
    if depth not in _STAGES:
        depths = ', '.join(map(str, _STAGES))
        raise errors.SettingError(
            f'depth must be one of {depths}, got {depth}; resnet_cifar has others'
        )
    stages, bottleneck = _STAGES[depth]
    x = tf.nn.relu(_conv(net, 'conv1', images, 64, 7, 2))
    # After ReLU, padding with 0 does not change a maximum.
    x = net.max_pool(_pad(x, 3), 3, 2)
    block_of = _bottleneck if bottleneck else _basic
    for stage, blocks in enumerate(stages):
        channels = 64 * 2**stage
        for block in range(blocks):
            name = f'stage{stage + 1}/block{block + 1}'
            strides = 2 if stage and not block else 1
            outputs = 4 * channels if bottleneck else channels
            shortcut = x
            if strides == 2 or x.shape[-1] != outputs:
                shortcut = _conv(net, f'{name}/shortcut', x, outputs, 1, strides)
            x = block_of(net, name, x, shortcut, channels, strides, zero_gamma)
    x = net.global_average_pool(x)
    return net.dense('logits', x, num_classes, kernel_initializer='glorot_normal')


def _basic(net, name, x, shortcut, channels, strides, zero_gamma):
    x = tf.nn.relu(_conv(net, f'{name}/conv1', x, channels, 3, strides))
    x = _conv(net, f'{name}/conv2', x, channels, 3, zero_gamma=zero_gamma)
    return tf.nn.relu(x + shortcut)


def _bottleneck(net, name, x, shortcut, channels, strides, zero_gamma):
    x = tf.nn.relu(_conv(net, f'{name}/conv1', x, channels, 1))
    x = tf.nn.relu(_conv(net, f'{name}/conv2', x, channels, 3, strides))
    x = _conv(net, f'{name}/conv3', x, 4 * channels, 1, zero_gamma=zero_gamma)
    return tf.nn.relu(x + shortcut)


def _conv(net, name, x, filters, kernel, strides=1, zero_gamma=False):
    """Convolution and batch normalization."""
    padding = 'SAME'
    if strides > 1:
        x, padding = _pad(x, kernel), 'VALID'
    x = net.conv(name, x, filters, kernel, strides, padding, use_bias=False)
    return net.batch_norm(f'{name}/norm', x, _MOMENTUM, _EPSILON, zero_gamma)


def _pad(x, kernel):
    # Symmetric, as published: TensorFlow's 'SAME' would start a pixel later for even
    # sizes.
    pad = (kernel - 1) // 2
    if not pad:
        return x
    return tf.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
