"""Ops that change the colours."""

import tensorflow as tf

from input.augment.pixels import grey_of, to_uint8


def brightness(images, draw, amount):
    """Multiplies each by a factor from [1 - amount, 1 + amount]."""
    factor = draw.uniform('brightness', 1.0 - amount, 1.0 + amount)
    return to_uint8(tf.cast(images, tf.float32) * factor[:, None, None, None])


def contrast(images, draw, amount):
    """Scales each about its mean grey by a factor from [1 - amount, 1 + amount]."""
    pixels = tf.cast(images, tf.float32)
    mean = tf.reduce_mean(grey_of(pixels), [1, 2, 3], keepdims=True)
    factor = draw.uniform('contrast', 1.0 - amount, 1.0 + amount)
    return to_uint8(mean + (pixels - mean) * factor[:, None, None, None])


def saturation(images, draw, amount):
    """Scales each away from its grey by a factor from [1 - amount, 1 + amount].

    Grey pictures stay as they are.
    """
    if images.shape[-1] == 1:
        return images
    pixels = tf.cast(images, tf.float32)
    grey = grey_of(pixels)
    factor = draw.uniform('saturation', 1.0 - amount, 1.0 + amount)
    return to_uint8(grey + (pixels - grey) * factor[:, None, None, None])
