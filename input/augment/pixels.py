"""What several ops need."""

import tensorflow as tf


def grey_of(pixels):
    """Returns the grey, float32 [..., 1], of float32 [..., 1 or 3] in 0..255."""
    # ITU-R BT.601 luma, as tf.image.rgb_to_grayscale.
    if pixels.shape[-1] == 1:
        return pixels
    weights = tf.constant([0.299, 0.587, 0.114])
    return tf.reduce_sum(pixels * weights, -1, keepdims=True)


def to_uint8(pixels):
    """Rounds floats to uint8; what is out of 0..255 is cut off."""
    return tf.cast(tf.round(tf.clip_by_value(pixels, 0.0, 255.0)), tf.uint8)
