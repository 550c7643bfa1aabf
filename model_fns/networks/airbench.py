"""airbench, Jordan's network that learns CIFAR-10 in few operations."""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from estimator_clf.core import errors
from model_fns.layers import patch_whitening
from model_fns.layers.layer_builder import LayerBuilder
from model_fns.registry import register

v1 = tf.compat.v1

# As published: the size of the whitened patches, and the number that is added to their
# variances, in units of the variance of the normalized pixels.
_PATCH, _WHITEN_EPSILON = 2, 5e-4

# The published 1e-12 is less than TensorFlow's fused batch normalization takes.
_NORM_EPSILON = 1.1e-5


@register('airbench', data_dependent_init=True)
def airbench(
    net: LayerBuilder,
    images: tf.Tensor,
    num_classes: int,
    *,
    widths: tuple[int, ...] = (64, 256, 256),
    depth: int = 2,
    residual: bool = False,
    activation: str = 'relu',
    norm_momentum: float = 0.6,
    whiten_bias: bool = False,
    logit_divisor: float = 9.0,
) -> tf.Tensor:
    """Whitening, three groups of [conv, pool, norm, act, (conv, norm, act) x n], dense.

    Jordan, 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (arXiv:2404.00498).
    The first convolution, 2x2, is not trained: its filters are the principal directions
    of the patches of the training images, scaled to a variance of 1, and their
    negatives (`data_dependent_init`). All other convolutions are 3x3 and start as the
    identity; batch normalization has no scale; the last pooling is the maximum over
    all remaining pixels. For 32x32x3 one image takes 0.24 GFLOP forward.

    The paper's networks: the defaults with GELU are the one for 94 %; widths (128, 384,
    512), depth 3, a residual and a norm_momentum of 0.9 the one for 96 %. GELU reads
    and writes memory several times in TensorFlow, ReLU once, in each direction.

    Args:
      net: the layers.
      images: float32 [B, H, W, C], normalized; H and W at least
        2 ** len(widths) + 1.
      num_classes: number of classes.
      widths: channels of each group.
      depth: convolutions of a group, at least 1.
      residual: add the output of a group's first convolution to that of its last.
      activation: after each layer but the last.
      norm_momentum: weight of the old moving averages in each step.
      whiten_bias: train the first convolution's bias (the paper: in the first 3
        epochs). Its gradient takes a tenth of a step's time.
      logit_divisor: divisor of the last layer's outputs.

    Returns:
      logits [B, num_classes].

    Raises:
      SettingError: images too small for the number of poolings, or an invalid setting.
    """
    _, height, width, _ = images.shape
    least = 2 ** len(widths) + 1
    if min(height, width) < least:
        raise errors.SettingError(
            f"`network`: 'airbench' with {len(widths)} poolings requires images of at "
            f'least {least}x{least} pixels, got {height}x{width}; set fewer widths, '
            'or use larger images'
        )
    if depth < 1 or not widths:
        raise errors.SettingError(
            f'airbench: depth and the number of widths must be at least 1, got {depth} '
            f'and {len(widths)}'
        )
    if residual and depth < 2:
        raise errors.SettingError('airbench: residual requires a depth of at least 2')
    if not 0 <= norm_momentum < 1 or logit_divisor <= 0:
        raise errors.SettingError(
            'airbench: norm_momentum must be at least 0 and below 1, and logit_divisor '
            f'above 0, got {norm_momentum} and {logit_divisor}'
        )
    activate = net.activation(activation)

    def conv(name, x, channels, pool):
        x = net.conv(
            name, x, channels, 3, use_bias=False, kernel_initializer='identity'
        )
        if pool:
            x = net.max_pool(x)
        return net.batch_norm(
            f'{name}/norm', x, norm_momentum, _NORM_EPSILON, scale=False
        )

    x = activate(_whiten(net, images, whiten_bias))
    for i, channels in enumerate(widths, 1):
        first = x = activate(conv(f'group{i}/conv1', x, channels, pool=True))
        for j in range(2, depth + 1):
            x = conv(f'group{i}/conv{j}', x, channels, pool=False)
            x = activate(x + first if residual and j == depth else x)
    rest = x.shape[1:3].as_list()
    x = net.flatten(tf.nn.max_pool2d(x, rest, rest, 'VALID'))
    logits = net.dense(
        'logits', x, num_classes, use_bias=False, kernel_initializer='pytorch_normal'
    )
    return tf.cast(logits, tf.float32) / logit_divisor


def data_dependent_init(
    batches: Iterable[np.ndarray], **settings: object
) -> dict[str, np.ndarray]:
    """Computes initial weights from training images, see `layers.patch_whitening`.

    Args:
      batches: normalized images, float32 [B, H, W, C].
      **settings: of the network.

    Returns:
      dict name of a variable -> float32 array.
    """
    del settings
    return {'whiten/kernel': patch_whitening.filters(batches, _PATCH, _WHITEN_EPSILON)}


def _whiten(net, images, train_bias):
    channels = images.shape[-1]
    filters = 2 * channels * _PATCH**2
    with v1.variable_scope('whiten'):
        images = net.layer_input(images, *(['bias'] if train_bias else []))
        kernel = net.variable(
            'kernel', (_PATCH, _PATCH, channels, filters), trainable=False
        )
        bias = net.variable('bias', (filters,), 0.0, trainable=train_bias)
        x = tf.nn.conv2d(
            tf.cast(images, net.compute_dtype),
            tf.cast(kernel, net.compute_dtype),
            1,
            'VALID',
        )
        return tf.nn.bias_add(x, tf.cast(bias, net.compute_dtype))
