"""Numbers as colors."""

import numpy as np
from scipy import ndimage

# Red speaks for, blue against; white, or the image below it, is zero.
_FOR = np.array([178, 24, 43], np.float32)
_AGAINST = np.array([33, 102, 172], np.float32)


def diverging(values, scale):
    """Colors signed numbers: red above zero, white at it, blue below.

    Args:
      values: floating [H, W].
      scale: the size of a number that has the full color.

    Returns:
      uint8 [H, W, 3].
    """
    return _blend(np.full((*values.shape, 3), 255.0), values, scale)


def overlay(image, values, scale):
    """Lays signed numbers over an image, which stays as a pale gray one.

    Args:
      image: [H, W, C] in 0..255, C 1 or 3.
      values: floating [H, W].
      scale: the size of a number that has the full color.

    Returns:
      uint8 [H, W, 3].
    """
    # Rec. 601, as Pillow and TensorFlow have it.
    weights = (0.299, 0.587, 0.114) if image.shape[-1] == 3 else (1.0,)
    gray = np.asarray(image, np.float32) @ np.array(weights, np.float32)
    pale = 120.0 + gray * (135.0 / 255.0)
    return _blend(np.repeat(pale[..., None], 3, -1), values, scale)


def around_gray(values, scale=None):
    """Shows signed numbers as they are, [H, W, C], zero being the middle gray.

    Args:
      values: floating [H, W, C].
      scale: the size of a number that is white or black; None: that of the largest.

    Returns:
      uint8 [H, W, 1 or 3]; other than three channels are shown as their mean.
    """
    if values.shape[-1] not in (1, 3):
        values = values.mean(axis=-1, keepdims=True)
    scale = scale or np.abs(values).max() or 1.0
    return np.clip(np.round(127.5 + 127.5 * values / scale), 0, 255).astype(np.uint8)


def smoothed(values):
    """Blurs a map a little, so that its forms show; its sum stays.

    Args:
      values: floating [H, W].
    """
    return ndimage.gaussian_filter(values, min(values.shape) / 56, mode='reflect')


def stretched(values):
    """Shows numbers from 0, black, to their largest, white: uint8 [H, W, 1]."""
    top = values.max()
    shares = np.clip(values / top, 0, 1) if top > 0 else np.zeros_like(values)
    return np.round(255 * shares).astype(np.uint8)[..., None]


def _blend(below, values, scale):
    amount = np.clip(np.abs(values) / (scale or 1.0), 0, 1)[..., None]
    full = np.where(values[..., None] > 0, _FOR, _AGAINST)
    return np.round(below + (full - below) * amount).astype(np.uint8)
