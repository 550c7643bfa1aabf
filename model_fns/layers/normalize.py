"""Normalization of pixels, shared by training, evaluation and serving."""

import numbers
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from estimator_clf.core import errors


def normalize(
    images: tf.Tensor | np.ndarray,
    mean: float | Sequence[float] = 0.0,
    stddev: float | Sequence[float] = 1.0,
) -> tf.Tensor:
    """Computes `(images - mean) / stddev`, eagerly, in a graph or inside `tf.data`.

    Args:
      images: [B, H, W, C], uint8 or floating, in units 0..255.
      mean: a number, or one per channel, in the units of the images.
      stddev: a number above 0, or one per channel, in the units of the images.

    Returns:
      float32 [B, H, W, C].

    Raises:
      SettingError: `mean` or `stddev` does not fit the channels, or a standard
        deviation is not above 0.
      ValueError: `images` does not have rank 4.
    """
    images = tf.convert_to_tensor(images)
    if images.shape.rank != 4:
        raise ValueError(f'images must be [B, H, W, C], got the shape {images.shape}')
    channels = images.shape[-1]
    means = _per_channel('mean', mean, channels)
    stddevs = _per_channel('stddev', stddev, channels)
    if any(not value > 0 for value in stddevs):
        raise errors.SettingError(f'`stddev` must be above 0, got {stddevs}')
    # Multiplied, not divided: the graph optimizer turns division by a constant into
    # this, an eager call does not, and the last bit would differ between the two.
    scale = tf.constant([1.0 / value for value in stddevs], tf.float32)
    return (tf.cast(images, tf.float32) - tf.constant(means, tf.float32)) * scale


def affine_rgb(
    images: tf.Tensor,
    order: Sequence[int],
    scale: Sequence[float],
    offset: Sequence[float],
) -> tf.Tensor:
    """Computes the preprocessing of a pretrained network: an affine function of pixels.

    Args:
      images: float32 [B, H, W, 1 or 3], 0..255; gray is repeated for all channels.
      order: of the channels: [2, 1, 0] exchanges red and blue.
      scale: of each channel of the result.
      offset: added to each channel of the result.

    Returns:
      float32 [B, H, W, 3].

    Raises:
      SettingError: another number of channels.
    """
    channels = images.shape[-1]
    if channels not in (1, 3):
        raise errors.SettingError(f'images must have 1 or 3 channels, got {channels}')
    if channels == 1:
        images = tf.repeat(images, 3, axis=-1)
    elif list(order) != [0, 1, 2]:
        images = tf.gather(images, order, axis=-1)
    return images * tf.constant(scale, tf.float32) + tf.constant(offset, tf.float32)


def _per_channel(name, value, channels):
    values = [value] if isinstance(value, numbers.Real) else list(value)
    # One number serves any number of channels, by broadcasting.
    if len(values) != 1 and channels is not None and len(values) != channels:
        raise errors.SettingError(
            f'`{name}` must be one number, or one for each of the {channels} channels, '
            f'got {len(values)}: {values}'
        )
    return [float(number) for number in values]
