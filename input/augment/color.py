"""Ops that change the colors.

All of them are of one form: a pixel p whose gray is g becomes a p + b g + c, with
three numbers a, b, c for each image. So is what several of them in a row make
together, which is done in one go: pixels are cut off at 0 and 255 and rounded once, at
the end of the row.
"""

import numpy as np
import tensorflow as tf

from input.augment.pixel_ops import LUMA, mean_color, to_uint8

# Pixels whose grays are made by one row of a matrix product: the fewer, the fewer
# multiplications by zero; the more, the better the product goes. For 32x32, 1.97 us a
# image with 4, 2.71 with 8, 3.64 with 16; where they are added up one by one, 9.
_TOGETHER = 4


def _brightness(numbers, factor, gray):
    """Multiplies all."""
    del gray
    return tuple(number * factor for number in numbers)


def _contrast(numbers, factor, gray):
    """Goes away from the mean gray, which is (a + b) G + c now."""
    a, b, c = numbers
    mean = (a + b) * gray + c
    return a * factor, b * factor, c * factor + mean * (1.0 - factor)


def _saturation(numbers, factor, gray):
    """Goes away from the gray, which is (a + b) g + c now."""
    del gray
    a, b, c = numbers
    return a * factor, b * factor + (a + b) * (1.0 - factor), c


_CHANGES = {
    'brightness': _brightness,
    'contrast': _contrast,
    'saturation': _saturation,
}


def brightness(images, draw, amount):
    """Multiplies each by a factor from [1 - amount, 1 + amount]."""
    return change_colors(images, draw, [('brightness', amount)])


def contrast(images, draw, amount):
    """Scales each about its mean gray by a factor from [1 - amount, 1 + amount]."""
    return change_colors(images, draw, [('contrast', amount)])


def saturation(images, draw, amount):
    """Scales each away from its gray by a factor from [1 - amount, 1 + amount].

    Gray images stay as they are.
    """
    return change_colors(images, draw, [('saturation', amount)])


def change_colors(images, draw, steps):
    """Does several of the ops above one after the other.

    Args:
      images: uint8 [B, H, W, C], C 1 or 3.
      draw: `ExampleRng` for the B examples.
      steps: list of (name of the op, amount).

    Returns:
      uint8 [B, H, W, C].
    """
    channels = images.shape[-1]
    if channels == 1:
        steps = [step for step in steps if step[0] != 'saturation']
        if not steps:
            return images
    names = {name for name, _ in steps}
    pixels = tf.cast(images, tf.float32)
    mean = None
    if 'contrast' in names:
        mean = tf.reduce_sum(mean_color(pixels) * _weights(channels), -1)
    one = tf.ones_like(draw.uniform('any'))
    numbers = (one, tf.zeros_like(one), tf.zeros_like(one))
    for name, amount in steps:
        factor = draw.uniform(name, 1.0 - amount, 1.0 + amount)
        numbers = _CHANGES[name](numbers, factor, mean)
    a, b, c = (number[:, None] for number in numbers)
    flat = tf.reshape(pixels, [-1, pixels.shape[1] * pixels.shape[2] * channels])
    changed = flat * a
    if 'saturation' in names:
        changed += _thousand_grays(flat) * (b / 1000.0)
    if 'contrast' in names:
        changed += c
    return tf.reshape(to_uint8(changed), tf.shape(images))


def _weights(channels):
    return tf.constant(LUMA if channels == 3 else [1.0])


def _thousand_grays(flat):
    """1000 times the gray of each pixel, thrice; float32 [B, H * W * 3], as is `flat`.

    With whole numbers for weights, whose sums are exact: a matrix product may add up in
    another order for a batch of another size, and an example must not depend on it.
    """
    size = flat.shape[-1] // 3
    together = next(n for n in range(_TOGETHER, 0, -1) if size % n == 0)
    weights = np.round(1000.0 * np.array(LUMA))
    block = np.kron(np.eye(together), np.repeat(weights[:, None], 3, axis=1))
    grays = tf.matmul(
        tf.reshape(flat, [-1, 3 * together]), tf.constant(block, tf.float32)
    )
    return tf.reshape(grays, tf.shape(flat))
