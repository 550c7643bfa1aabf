"""Color maps for attributions, filters and feature maps."""

import numpy as np
from scipy import ndimage

_POSITIVE = np.array([178, 24, 43], np.float32)  # Red.
_NEGATIVE = np.array([33, 102, 172], np.float32)  # Blue.


def diverging(values: np.ndarray, scale: float) -> np.ndarray:
    """Maps signed values to red (positive), white (zero) and blue (negative).

    Args:
      values: floating [H, W].
      scale: absolute value of full color.

    Returns:
      uint8 [H, W, 3].
    """
    return _blend(np.full((*values.shape, 3), 255.0), values, scale)


def overlay(image: np.ndarray, values: np.ndarray, scale: float) -> np.ndarray:
    """Overlays signed values on a pale gray version of an image.

    Args:
      image: [H, W, C] in 0..255, C 1 or 3.
      values: floating [H, W].
      scale: absolute value of full color.

    Returns:
      uint8 [H, W, 3].
    """
    # Rec. 601, as in Pillow and TensorFlow.
    weights = (0.299, 0.587, 0.114) if image.shape[-1] == 3 else (1.0,)
    gray = np.asarray(image, np.float32) @ np.array(weights, np.float32)
    pale = 120.0 + gray * (135.0 / 255.0)
    return _blend(np.repeat(pale[..., None], 3, -1), values, scale)


def around_gray(values: np.ndarray, scale: float | None = None) -> np.ndarray:
    """Maps signed values to levels around middle gray, which is zero.

    Args:
      values: floating [H, W, C].
      scale: absolute value of white or black; None: the maximum of `values`.

    Returns:
      uint8 [H, W, 1 or 3]; other numbers of channels are averaged to one.
    """
    if values.shape[-1] not in (1, 3):
        values = values.mean(axis=-1, keepdims=True)
    scale = scale or np.abs(values).max() or 1.0
    return np.clip(np.round(127.5 + 127.5 * values / scale), 0, 255).astype(np.uint8)


def smoothed(values: np.ndarray) -> np.ndarray:
    """Blurs a map [H, W] slightly, which makes shapes visible and preserves its sum."""
    return ndimage.gaussian_filter(values, min(values.shape) / 56, mode='reflect')


def stretched(values: np.ndarray) -> np.ndarray:
    """Maps values [H, W] from 0 (black) to the maximum (white): uint8 [H, W, 1]."""
    top = values.max()
    shares = np.clip(values / top, 0, 1) if top > 0 else np.zeros_like(values)
    return np.round(255 * shares).astype(np.uint8)[..., None]


def _blend(background: np.ndarray, values: np.ndarray, scale: float) -> np.ndarray:
    amount = np.clip(np.abs(values) / (scale or 1.0), 0, 1)[..., None]
    full = np.where(values[..., None] > 0, _POSITIVE, _NEGATIVE)
    return np.round(background + (full - background) * amount).astype(np.uint8)
