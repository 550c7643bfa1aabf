"""DeepDream: amplifies the patterns that a layer detects in an image."""

from typing import Any

import numpy as np
from PIL import Image

from estimator_clf.explain.explainer import BATCH, Explainer, Objective

_RATE = 1.5  # Change of a pixel per step, in levels of 255, about.

Size = tuple[int, int]


def dream(
    explainer: Explainer,
    tensor: Any,
    image: np.ndarray,
    *,
    unit: int | None = None,
    steps: int = 20,
    octaves: int = 4,
    octave_scale: float = 1.4,
    seed: int = 0,
) -> np.ndarray:
    """Maximizes the norm of a layer's outputs (Mordvintsev, Olah and Tyka, 2015).

    Works from small to large sizes (octaves): the change at one size is enlarged and
    refined at the next. Images larger than the network's input are processed in tiles
    of that size; a random shift per step avoids seams.

    Args:
      explainer: restored network.
      tensor: of a layer, [B, H, W, channels] or [B, units].
      image: [height, width, C] in 0..255, at least as large as the network's input.
      unit: channel whose mean is maximized; None: the mean of all squares.
      steps: number of steps at each size.
      octaves: maximum number of sizes; none is smaller than the network's input.
      octave_scale: ratio of consecutive sizes.
      seed: of the shifts.

    Returns:
      float32, shape of `image`.
    """
    rng = np.random.default_rng(seed)
    objective = explainer.objective(tensor, 'square' if unit is None else 'value')
    image = np.asarray(image, np.float32)
    height, width, channels = image.shape
    sizes = _sizes((height, width), explainer.shape[:2], octaves, octave_scale)
    change: np.ndarray = np.zeros((*sizes[0], channels), np.float32)
    for size in sizes:
        base = resized(image, size)
        change = resized(change, size)
        for _ in range(steps):
            shift = rng.integers(0, size)
            current = np.roll(np.clip(base + change, 0, 255), shift, (0, 1))
            gradient = _tiled_gradient(explainer, objective, current, unit or 0)
            gradient = np.roll(gradient, -shift, (0, 1))
            change += _RATE * gradient / (np.mean(np.abs(gradient)) + 1e-12)
            change = np.clip(base + change, 0, 255) - base
    return base + change


def resized(image: np.ndarray, size: Size) -> np.ndarray:
    """Resizes float32 [H, W, C] to size (height, width), by cubic interpolation."""
    if image.shape[:2] == tuple(size):
        return image
    height, width = size
    channels = [
        Image.fromarray(channel).resize((width, height), Image.Resampling.BICUBIC)
        for channel in np.moveaxis(np.asarray(image, np.float32), -1, 0)
    ]
    return np.stack([np.asarray(c, np.float32) for c in channels], axis=-1)


def _sizes(size: Size, minimum: Size, octaves: int, scale: float) -> list[Size]:
    """Returns the sizes (height, width) of the octaves, `size` itself last."""
    sizes = [size]
    for number in range(1, octaves):
        smaller = (round(size[0] / scale**number), round(size[1] / scale**number))
        if smaller[0] < minimum[0] or smaller[1] < minimum[1]:
            break
        sizes.insert(0, smaller)
    return sizes


def _tiled_gradient(
    explainer: Explainer, objective: Objective, image: np.ndarray, unit: int
) -> np.ndarray:
    """Returns the gradient by an image of any size, averaged where tiles overlap."""
    height, width, _ = explainer.shape
    corners = [
        (top, left)
        for top in _starts(image.shape[0], height)
        for left in _starts(image.shape[1], width)
    ]
    total = np.zeros_like(image)
    count = np.zeros((*image.shape[:2], 1), np.float32)
    for i in range(0, len(corners), BATCH):
        regions = [
            (slice(top, top + height), slice(left, left + width))
            for top, left in corners[i : i + BATCH]
        ]
        tiles = np.stack([image[region] for region in regions])
        _, gradients = explainer.gradient(objective, tiles, unit)
        for region, gradient in zip(regions, gradients, strict=True):
            total[region] += gradient
            count[region] += 1
    return total / count


def _starts(size: int, tile: int) -> list[int]:
    count = -(-size // tile)
    return [round(i * (size - tile) / max(1, count - 1)) for i in range(count)]
