"""RandAugment: a few of fourteen ops, drawn for each example, all equally strong.

Cubuk et al. 2020 ("RandAugment: Practical automated data augmentation with a reduced
search space"). The ops of a layer differ from example to example, but a batch need
not go through all of them: they fall into three families, each of which is one
computation with numbers of each example's own (where pixels move to, what a value
becomes, what to mix an image with), and is done for those examples that drew it.
"""

import math

import tensorflow as tf

from input.augment.geometric import affine
from input.augment.pixel_ops import to_gray, to_uint8

_MOVES = ('rotate', 'shear_x', 'shear_y', 'translate_x', 'translate_y')
_TABLES = ('auto_contrast', 'equalize', 'posterize', 'solarize')
_BLENDS = ('color', 'contrast', 'brightness', 'sharpness')

#: The fourteen of the paper, in the order of their numbers here.
NAMES = ('identity', *_MOVES, *_TABLES, *_BLENDS)

# What the reference implementation fills with
# (github.com/tensorflow/tpu, efficientnet/autoaugment.py).
_GRAY = 128.0


def randaugment(images, draw, amount):
    """Applies N ops of magnitude M to each.

    At M = 10, the end of the paper's scale: 30 degrees, a shear of 0.3, a move by
    45 % of the side (the reference's 100 pixels of 224), values of 4 bits, all of them
    inverted, color, contrast, brightness and sharpness times 0.1 or 1.9; linear in M,
    and beyond 10 as far as it makes sense. As in torchvision and timm, and unlike the
    reference, M = 0 is no change, but for the two ops that have no strength.

    Args:
      images: uint8 [B, H, W, C].
      draw: `ExampleRng` for the B examples.
      amount: (N, M).

    Returns:
      uint8 [B, H, W, C].
    """
    layers, magnitude = amount
    shape = images.shape
    for layer in range(int(layers)):
        number = draw.integer(f'randaugment {layer}', 0, len(NAMES) - 1)
        positive = draw.uniform(f'randaugment {layer} sign') < 0.5
        sign = tf.where(positive, 1.0, -1.0)
        images = apply_ops(images, number, sign, magnitude / 10.0)
        images.set_shape(shape)
    return images


def apply_ops(images, number, sign, strength):
    """Applies one op to each image.

    Args:
      images: uint8 [B, H, W, C].
      number: int32 [B], which op: an index into `NAMES`.
      sign: float32 [B], 1 or -1: which way.
      strength: Python float, M / 10.

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


def _is(name, number):
    return tf.equal(number, NAMES.index(name))


def _move(images, number, sign, strength):
    """Rotation, shear or translation, about the middle."""

    def amount(name, most):
        return tf.where(_is(name, number), sign * (strength * most), 0.0)

    height, width = images.shape[1:3]
    angle = amount('rotate', math.pi / 6.0)
    cos, sin = tf.cos(angle), tf.sin(angle)
    matrix = (
        (cos, amount('shear_x', 0.3) - sin),
        (amount('shear_y', 0.3) + sin, cos),
    )
    far = min(0.45, 0.9 / max(strength, 1e-9))  # Some of the image stays.
    shift = (amount('translate_x', far * width), amount('translate_y', far * height))
    return affine(images, matrix, shift, 'CONSTANT', _GRAY)


def _look_up(images, number, sign, strength):
    """Ops by which each value of a channel becomes another."""
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


def _auto_contrast(histogram):
    """Stretches each channel to 0..255, as Pillow's `ImageOps.autocontrast`."""
    there = histogram > 0
    value = tf.range(256)
    low = tf.reduce_min(tf.where(there, value, 255), -1, keepdims=True)
    high = tf.reduce_max(tf.where(there, value, 0), -1, keepdims=True)
    # Pillow's order of operations in its precision, to cut off where it does.
    scale = 255.0 / tf.cast(tf.maximum(high - low, 1), tf.float64)
    stretched = tf.cast(value, tf.float64) * scale - tf.cast(low, tf.float64) * scale
    stretched = tf.cast(tf.clip_by_value(stretched, 0.0, 255.0), tf.int32)
    return tf.where(high > low, stretched, value)


def _equalize(histogram):
    """Spreads each channel's values evenly, as Pillow's `ImageOps.equalize`."""
    last = tf.reduce_max(tf.where(histogram > 0, tf.range(256), 0), -1, keepdims=True)
    pixels = tf.reduce_sum(histogram, -1, keepdims=True)
    step = (pixels - tf.gather(histogram, last, batch_dims=2)) // 255
    below = tf.cumsum(histogram, -1, exclusive=True)
    evenly_spaced_indices = (step // 2 + below) // tf.maximum(step, 1)
    return tf.where(step > 0, tf.minimum(evenly_spaced_indices, 255), tf.range(256))


def _blend(images, number, sign, strength):
    """Color, contrast, brightness, sharpness: away from an image without it."""
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


def _smooth(pixels):
    """Pillow's filter SMOOTH, which leaves the outermost pixels as they are."""
    if min(pixels.shape[1:3]) < 3:
        return pixels
    # The weights are 1, in the middle 5, of 13. Not by a convolution: of a batch of
    # no images, `depthwise_conv2d` returns one of another shape.
    box = pixels[:, :-2] + pixels[:, 1:-1] + pixels[:, 2:]
    box = box[:, :, :-2] + box[:, :, 1:-1] + box[:, :, 2:]
    inner = tf.round((box + 4.0 * pixels[:, 1:-1, 1:-1]) / 13.0)
    rows = [pixels[:, 1:-1, :1], inner, pixels[:, 1:-1, -1:]]
    return tf.concat([pixels[:, :1], tf.concat(rows, 2), pixels[:, -1:]], 1)
