"""DeepDream: an image in which a layer sees more of what it sees already."""

import numpy as np
from PIL import Image

from estimator_clf.explain.explainer import BATCH

_RATE = 1.5  # Levels of 255 that a pixel moves in a step, about.


def dream(
    explainer,
    tensor,
    image,
    *,
    unit=None,
    steps=20,
    octaves=4,
    octave_scale=1.4,
    seed=0,
):
    """Raises the norm of a layer's outputs (Mordvintsev, Olah and Tyka, 2015).

    From small to large: what was dreamt at one size is enlarged and dreamt on. A size
    beyond that of the network's input is done in tiles of that size, on an image that
    is shifted at random in each step, so that the tiles leave no seams.

    Args:
      explainer: `Explainer`.
      tensor: of a layer, [B, H, W, channels] or [B, units].
      image: [height, width, C] in 0..255, at least as large as the network's input.
      unit: a channel, whose mean is raised; None: the mean of all squares.
      steps: at each size.
      octaves: how many sizes at the most; none is smaller than the network's input.
      octave_scale: ratio of one to the next.
      seed: of the shifts.

    Returns:
      float32, of the shape of `image`.
    """
    rng = np.random.default_rng(seed)
    goal = explainer.goal(tensor, 'square' if unit is None else 'value')
    image = np.asarray(image, np.float32)
    sizes = _sizes(image.shape[:2], explainer.shape[:2], octaves, octave_scale)
    dreamt = np.zeros((*sizes[0], image.shape[2]), np.float32)
    for size in sizes:
        base = resized(image, size)
        dreamt = resized(dreamt, size)
        for _ in range(steps):
            shift = rng.integers(0, size)
            now = np.roll(np.clip(base + dreamt, 0, 255), shift, (0, 1))
            gradient = _tiled_gradient(explainer, goal, now, unit or 0)
            gradient = np.roll(gradient, -shift, (0, 1))
            dreamt += _RATE * gradient / (np.mean(np.abs(gradient)) + 1e-12)
            dreamt = np.clip(base + dreamt, 0, 255) - base
    return base + dreamt


def resized(image, size):
    """Resizes float32 [H, W, C] to size (height, width), by cubic interpolation."""
    if image.shape[:2] == tuple(size):
        return image
    height, width = size
    channels = [
        Image.fromarray(channel).resize((width, height), Image.Resampling.BICUBIC)
        for channel in np.moveaxis(np.asarray(image, np.float32), -1, 0)
    ]
    return np.stack([np.asarray(c, np.float32) for c in channels], axis=-1)


def _sizes(size, least, octaves, scale):
    """Sizes (height, width), the smallest first, `size` itself last."""
    sizes = [tuple(size)]
    for number in range(1, octaves):
        smaller = tuple(round(side / scale**number) for side in size)
        if any(side < bound for side, bound in zip(smaller, least, strict=True)):
            break
        sizes.insert(0, smaller)
    return sizes


def _tiled_gradient(explainer, goal, image, unit):
    """The gradient of an image of any size; tiles that overlap are averaged."""
    height, width, _ = explainer.shape
    corners = [
        (top, left)
        for top in _starts(image.shape[0], height)
        for left in _starts(image.shape[1], width)
    ]
    total = np.zeros_like(image)
    count = np.zeros((*image.shape[:2], 1), np.float32)
    for i in range(0, len(corners), BATCH):
        part = [
            (slice(top, top + height), slice(left, left + width))
            for top, left in corners[i : i + BATCH]
        ]
        tiles = np.stack([image[place] for place in part])
        _, gradients = explainer.gradient(goal, tiles, unit)
        for place, gradient in zip(part, gradients, strict=True):
            total[place] += gradient
            count[place] += 1
    return total / count


def _starts(size, tile):
    count = -(-size // tile)
    return [round(i * (size - tile) / max(1, count - 1)) for i in range(count)]
