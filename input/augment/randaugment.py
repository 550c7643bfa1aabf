"""RandAugment: a few of fourteen ops, sampled for each example, of one magnitude.

Cubuk et al. 2020 ("RandAugment: Practical automated data augmentation with a reduced
search space"). The ops of a layer differ from example to example, but a batch does not
go through all of them: they form three families, each one computation with
parameters per example (where pixels move to, a table of values, what to blend an image
with), and is applied to the examples that sampled it.
"""

import math

import tensorflow as tf

from input.augment.geometric import affine
from input.augment.pixel_ops import to_gray, to_uint8
from input.sampling.stateless_random import ExampleRng

_MOVES = ('rotate', 'shear_x', 'shear_y', 'translate_x', 'translate_y')
_TABLES = ('auto_contrast', 'equalize', 'posterize', 'solarize')
_BLENDS = ('color', 'contrast', 'brightness', 'sharpness')

#: The fourteen ops of the paper; the index is the op's number.
NAMES = ('identity', *_MOVES, *_TABLES, *_BLENDS)

# Fill of the reference implementation
# (github.com/tensorflow/tpu, efficientnet/autoaugment.py).
_GRAY = 128.0


def randaugment(
    images: tf.Tensor, rng: ExampleRng, amount: tuple[int, float]
) -> tf.Tensor:
    """Applies N ops of magnitude M to each image.

    At M = 10, the end of the paper's scale: 30 degrees, a shear of 0.3, a translation
    by 45 % of the side (the reference's 100 pixels of 224), values of 4 bits, all of
    them inverted, color, contrast, brightness and sharpness times 0.1 or 1.9; linear in
    M, and beyond 10 as far as possible. As in torchvision and timm, and unlike the
    reference, M = 0 is no change, except for the two ops that have no strength.

    Args:
      images: uint8 [B, H, W, C].
      rng: random numbers of the B examples.
      amount: (N, M).

    Returns:
      uint8 [B, H, W, C].
    """
    layers, magnitude = amount
    shape = images.shape
    for layer in range(int(layers)):
        number = rng.integer(f'randaugment {layer}', 0, len(NAMES) - 1)
        positive = rng.uniform(f'randaugment {layer} sign') < 0.5
        sign = tf.where(positive, 1.0, -1.0)
        images = apply_ops(images, number, sign, magnitude / 10.0)
        images.set_shape(shape)
    return images


def apply_ops(
    images: tf.Tensor, number: tf.Tensor, sign: tf.Tensor, strength: float
) -> tf.Tensor:
    """Applies one op to each image.

    Args:
      images: uint8 [B, H, W, C].
      number: int32 [B], the op: an index into `NAMES`.
      sign: float32 [B], 1 or -1: the direction.
      strength: M / 10.

    Returns:
      uint8, a batch like `images`.
    """
    families = tf.constant(
        [0] + [1] * len(_MOVES) + [2] * len(_TABLES) + [3] * len(_BLENDS)
    )
    places = tf.dynamic_partition(
        tf.range(tf.shape(images)[0]), tf.gather(families, number), 4
    )
    parts = [tf.gather(images, places[0])]
    for family, place in zip((_move, _look_up, _blend), places[1:], strict=True):
        some = tf.gather(images, place)
        some.set_shape([None, *images.shape[1:]])
        parts.append(
            family(some, tf.gather(number, place), tf.gather(sign, place), strength)
        )
    return tf.dynamic_stitch(places, parts)


def _is(name: str, number: tf.Tensor) -> tf.Tensor:
    return tf.equal(number, NAMES.index(name))


def _move(
    images: tf.Tensor, number: tf.Tensor, sign: tf.Tensor, strength: float
) -> tf.Tensor:
    """Rotates, shears or translates, about the center."""

    def amount(name, most):
        return tf.where(_is(name, number), sign * (strength * most), 0.0)

    height, width = images.shape[1:3]
    angle = amount('rotate', math.pi / 6.0)
    cos, sin = tf.cos(angle), tf.sin(angle)
    matrix = (
        (cos, amount('shear_x', 0.3) - sin),
        (amount('shear_y', 0.3) + sin, cos),
    )
    far = min(0.45, 0.9 / max(strength, 1e-9))  # A part of the image remains.
    shift = (amount('translate_x', far * width), amount('translate_y', far * height))
    return affine(images, matrix, shift, 'CONSTANT', _GRAY)


def _look_up(
    images: tf.Tensor, number: tf.Tensor, sign: tf.Tensor, strength: float
) -> tf.Tensor:
    """Maps each value of a channel by a table."""
    del sign
    count, channels = tf.shape(images)[0], images.shape[-1]
    rows = tf.reshape(tf.range(count * channels), [count, 1, 1, channels])
    cells = tf.cast(images, tf.int32) + 256 * rows
    size = count * channels * 256
    histogram = tf.math.bincount(
        tf.reshape(cells, [-1]), minlength=size, maxlength=size
    )
    histogram = tf.reshape(histogram, [count, channels, 256])
    value = tf.range(256)
    bits = max(1, 8 - round(4 * strength))
    threshold = max(0, 256 - round(256 * strength))
    tables = {
        'auto_contrast': _auto_contrast(histogram),
        'equalize': _equalize(histogram),
        'posterize': value // 2 ** (8 - bits) * 2 ** (8 - bits),
        'solarize': tf.where(value < threshold, value, 255 - value),
    }
    table = tf.zeros([count, channels, 256], tf.int32)
    for name, entries in tables.items():
        table = tf.where(_is(name, number)[:, None, None], entries, table)
    return tf.gather(tf.cast(tf.reshape(table, [-1]), tf.uint8), cells)


def _auto_contrast(histogram: tf.Tensor) -> tf.Tensor:
    """Stretches each channel to 0..255, as Pillow's `ImageOps.autocontrast`."""
    there = histogram > 0
    value = tf.range(256)
    low = tf.reduce_min(tf.where(there, value, 255), -1, keepdims=True)
    high = tf.reduce_max(tf.where(there, value, 0), -1, keepdims=True)
    # Pillow's order of operations in its precision, to truncate where it does.
    scale = 255.0 / tf.cast(tf.maximum(high - low, 1), tf.float64)
    stretched = tf.cast(value, tf.float64) * scale - tf.cast(low, tf.float64) * scale
    stretched = tf.cast(tf.clip_by_value(stretched, 0.0, 255.0), tf.int32)
    return tf.where(high > low, stretched, value)


def _equalize(histogram: tf.Tensor) -> tf.Tensor:
    """Equalizes the histogram of each channel, as Pillow's `ImageOps.equalize`."""
    last = tf.reduce_max(tf.where(histogram > 0, tf.range(256), 0), -1, keepdims=True)
    pixels = tf.reduce_sum(histogram, -1, keepdims=True)
    step = (pixels - tf.gather(histogram, last, batch_dims=2)) // 255
    below = tf.cumsum(histogram, -1, exclusive=True)
    equalized = (step // 2 + below) // tf.maximum(step, 1)
    return tf.where(step > 0, tf.minimum(equalized, 255), tf.range(256))


def _blend(
    images: tf.Tensor, number: tf.Tensor, sign: tf.Tensor, strength: float
) -> tf.Tensor:
    """Changes color, contrast, brightness or sharpness by blending."""
    pixels = tf.cast(images, tf.float32)
    gray = to_gray(pixels)
    without = {
        'color': gray,
        'contrast': tf.reduce_mean(gray, [1, 2], keepdims=True),
        'brightness': tf.zeros([]),
        'sharpness': _smooth(pixels),
    }
    base = pixels
    for name, other in without.items():
        base = tf.where(_is(name, number)[:, None, None, None], other, base)
    factor = tf.maximum(0.0, 1.0 + sign * (0.9 * strength))
    return to_uint8(base + (pixels - base) * factor[:, None, None, None])


def _smooth(pixels: tf.Tensor) -> tf.Tensor:
    """Applies Pillow's filter SMOOTH, which does not change the outermost pixels."""
    if min(pixels.shape[1:3]) < 3:
        return pixels
    # The weights are 1, in the center 5, of 13. Not a convolution: for an empty batch
    # `depthwise_conv2d` returns another shape.
    box = pixels[:, :-2] + pixels[:, 1:-1] + pixels[:, 2:]
    box = box[:, :, :-2] + box[:, :, 1:-1] + box[:, :, 2:]
    inner = tf.round((box + 4.0 * pixels[:, 1:-1, 1:-1]) / 13.0)
    rows = [pixels[:, 1:-1, :1], inner, pixels[:, 1:-1, -1:]]
    return tf.concat([pixels[:, :1], tf.concat(rows, 2), pixels[:, -1:]], 1)
