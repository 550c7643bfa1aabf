"""Gray, mean color and rounding, shared by several ops."""

import tensorflow as tf

#: ITU-R BT.601 luma, as tf.image.rgb_to_grayscale.
LUMA = (0.299, 0.587, 0.114)


def to_gray(pixels: tf.Tensor) -> tf.Tensor:
    """Returns the gray, float32 [..., 1], of float32 [..., 1 or 3] in 0..255."""
    if pixels.shape[-1] == 1:
        return pixels
    return tf.reduce_sum(pixels * tf.constant(LUMA), -1, keepdims=True)


def mean_color(pixels: tf.Tensor) -> tf.Tensor:
    """Returns the mean of each channel, float32 [B, C], of float32 [B, H, W, C]."""
    height, width, channels = pixels.shape[1:]
    # First over the rows, which adds whole rows: over rows and columns at once
    # `reduce_mean` takes several times as long.
    rows = tf.reduce_sum(tf.reshape(pixels, [-1, height, width * channels]), 1)
    return tf.reduce_sum(tf.reshape(rows, [-1, width, channels]), 1) / (height * width)


def to_uint8(pixels: tf.Tensor) -> tf.Tensor:
    """Rounds floats to uint8, clipped to 0..255."""
    return tf.cast(tf.round(tf.clip_by_value(pixels, 0.0, 255.0)), tf.uint8)
