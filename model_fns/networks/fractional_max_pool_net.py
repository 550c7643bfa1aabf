"""Networks with fractional max-pooling."""

import tensorflow as tf

from estimator_clf.core import errors
from model_fns.layers.layer_builder import LayerBuilder
from model_fns.registry import register

# The factor by which each pooling reduces the image.
_RATIOS = {'sqrt2': 2 ** (1 / 2), 'cbrt2': 2 ** (1 / 3)}


@register('fmp', random=True)
def fmp(
    net: LayerBuilder,
    images: tf.Tensor,
    num_classes: int,
    *,
    ratio: str = 'sqrt2',
    poolings: int = 0,
    filters: int = 32,
    pseudo_random: bool = False,
    overlapping: bool = True,
    dropout: float = 0.0,
    leak: float = 0.1,
    batch_norm: bool = False,
) -> tf.Tensor:
    """Fractional max-pooling: [2x2 conv, pool by sqrt 2 or cbrt 2] x n, 2x2, 1x1 conv.

    Graham, 2014, "Fractional Max-Pooling" (arXiv:1412.6071): the paper's
    (32nC2 - FMP sqrt 2)6 - C2 - C1 - output, of 36x36 pixels, is the default for MNIST,
    and (64nC2 - FMP cbrt 2)12 - C2 - C1 - output, of 94x94, has 12 poolings of ratio
    cbrt2, 64 filters and a dropout of 0.5. The n-th convolution has n times `filters`
    channels. No convolution pads: the sizes follow backwards from one pixel at the end,
    and the image is padded on all sides to the first size, by the mean color.

    Each step of training has its own regions. Evaluation has those of one sample, or
    averages several (`eval_samples`).

    Args:
      net: the layers.
      images: float32 [B, H, W, C], normalized.
      num_classes: number of classes.
      ratio: 'sqrt2' or 'cbrt2'.
      poolings: number of poolings; 0: the fewest whose first size fits the image.
      filters: channels of the first convolution.
      pseudo_random: sample evenly spread regions instead of random ones.
      overlapping: let neighboring regions share a row or column of pixels.
      dropout: share of the last layer's inputs that training drops; it grows in equal
        steps from 0 before the first convolution.
      leak: slope of the activation below 0.
      batch_norm: whether each convolution is followed by batch normalization, unlike
        in the paper.

    Returns:
      logits [B, num_classes].

    Raises:
      SettingError: an unknown ratio, or images too large for the number of poolings.
    """
    if ratio not in _RATIOS:
        raise errors.unknown('ratio', 'ratio', ratio, _RATIOS)
    if filters < 1 or poolings < 0:
        raise errors.SettingError(
            f'filters must be at least 1 and poolings at least 0, got {filters} and '
            f'{poolings}'
        )
    if not 0 <= leak <= 1:
        raise errors.SettingError(f'leak must be from 0 to 1, got {leak}')
    height, width = images.shape[1:3]
    sizes = _sizes(_RATIOS[ratio], poolings, max(height, width))
    layers = len(sizes) + 2

    def conv(x, i, kernel):
        x = net.dropout(f'conv{i}', x, dropout * (i - 1) / layers)
        x = net.conv(
            f'conv{i}', x, filters * i, kernel, padding='VALID', use_bias=not batch_norm
        )
        return net.batch_norm(f'norm{i}', x) if batch_norm else x

    x = _pad_centered(images, sizes[0][0])
    for i, (_, size) in enumerate(sizes, 1):
        x = conv(x, i, 2)
        x = net.fractional_max_pool(
            f'pool{i}', x, size, size, pseudo_random, overlapping
        )
        # Monotonic, so it commutes with the pooling, after which it costs half.
        x = tf.nn.leaky_relu(x, leak)
    x = tf.nn.leaky_relu(conv(x, layers - 1, 2), leak)
    x = net.flatten(tf.nn.leaky_relu(conv(x, layers, 1), leak))
    x = net.dropout('logits', x, dropout)
    return net.dense('logits', x, num_classes, kernel_initializer='glorot_normal')


def _sizes(ratio, poolings, least):
    """Returns the sizes before each convolution and after its pooling, layer by layer.

    The last pooling leaves 2 pixels, for the 2x2 convolution after it. Backwards, a
    pooling multiplies by the ratio, rounded, and a convolution adds one: six poolings
    of sqrt 2 start at 36, twelve of cbrt 2 at 94, as in the paper.
    """
    sizes, size = [], 2
    while len(sizes) < poolings or not poolings and (size < least or not sizes):
        before = round(size * ratio) + 1
        sizes.insert(0, (before, size))
        size = before
    if size < least:
        raise errors.SettingError(
            f'poolings: {poolings} of ratio {ratio:.3f} start at {size}x{size} '
            f'pixels, too few for images of up to {least}; set more poolings, or 0 for '
            'as many as required'
        )
    return sizes


def _pad_centered(images, size):
    """Pads [B, H, W, C] with zeros, the mean color, to [B, size, size, C]."""
    pads = [((size - n) // 2, size - n - (size - n) // 2) for n in images.shape[1:3]]
    return tf.pad(images, ((0, 0), *pads, (0, 0)))
