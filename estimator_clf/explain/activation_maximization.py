"""Activation maximization: images that maximize the output of a class or unit."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from estimator_clf.explain.explainer import Explainer

# Chosen by eye on MNIST and CIFAR-10: without random transformations and smoothing the
# images look like noise.
SMOOTHNESS = 0.7
SPARSITY = 0.1
STEPS = 300

_RATE = 10.0  # Change of a pixel in the first steps, in levels of 255, about.
_LAST_RATE = 0.1  # Share of `_RATE` in the last step.
_MOMENTUM = 0.8  # Averages the gradient over several random transformations.
_NOISE = 4.0  # Standard deviation of the first image, in levels.
_SHIFT = 1 / 14  # Of the side: 2 pixels of 28.
_ANGLE = 10.0  # Degrees.
_ZOOM = 0.1  # As a logarithm: from 0.9 to 1.1.
_EDGE = 8.0  # Additional sparsity of the outermost pixels, as a factor.
_EDGE_WIDTH = 1 / 8  # Of the side: width over which that factor falls to 0.
_SMALL = 28  # Side in pixels below which smoothing is reduced, for thin strokes.


def maximize(
    explainer: Explainer,
    tensor: Any,
    units: Sequence[int],
    *,
    steps: int = STEPS,
    smoothness: float = SMOOTHNESS,
    sparsity: float = SPARSITY,
    seed: int = 0,
) -> np.ndarray:
    """Maximizes units by gradient ascent from the mean color, one image per unit.

    Each step shifts, rotates and scales the image a little at random, so that only
    robust patterns grow (Mordvintsev et al., 2015; Olah et al., 2017, "Feature
    Visualization"). Two penalties regularize it: its total variation (Mahendran and
    Vedaldi, 2015), and its distance from the mean color, weighted more near the edges,
    so that whole objects form in the center.

    Args:
      explainer: restored network.
      tensor: [B, units] or [B, H, W, channels]: `explainer.scores` or that of a layer.
      units: classes, units or channels; at most `explainer.BATCH`.
      steps: number of steps.
      smoothness: weight of the total variation, relative to a gradient of norm 1.
      sparsity: weight of the distance from the mean color.
      seed: of noise and transformations.

    Returns:
      float32 [units, H, W, C] in 0..255.
    """
    rng = np.random.default_rng(seed)
    objective = explainer.objective(tensor)
    height, width, _ = explainer.shape
    smoothness = smoothness * min(1.0, min(height, width) / _SMALL)
    noise = rng.normal(0, _NOISE, (len(units), *explainer.shape))
    images = np.clip(explainer.mean + noise, 0, 255).astype(np.float32)
    direction = np.zeros_like(images)
    edge_sparsity = sparsity * (1 + _EDGE * _edge_weights(height, width))
    for step in range(steps):
        transforms = random_transforms(rng, len(units), height, width)
        _, gradient = explainer.transformed_gradient(
            objective, images, units, transforms
        )
        direction *= _MOMENTUM
        direction += (1 - _MOMENTUM) * _normalized(gradient)
        change = _normalized(direction)
        change -= smoothness * _total_variation_gradient(images)
        # A sign function that is smooth around 0.
        change -= edge_sparsity * np.tanh((images - explainer.mean) / 8.0)
        rate = _RATE * (1 - (1 - _LAST_RATE) * step / steps)
        images = np.clip(images + rate * change, 0, 255).astype(np.float32)
    return images


def random_transforms(
    rng: np.random.Generator, count: int, height: int, width: int
) -> np.ndarray:
    """Samples small rotations, zooms and shifts about the center of an image.

    Returns:
      float32 [count, 8]: the first entries of the matrices that map a homogeneous
      position (x, y, 1) of the output to one of the input, as
      `tf.raw_ops.ImageProjectiveTransformV3` expects.
    """
    angles = np.deg2rad(rng.uniform(-_ANGLE, _ANGLE, count))
    scales = np.exp(rng.uniform(-_ZOOM, _ZOOM, count))
    cos, sin = np.cos(angles) / scales, np.sin(angles) / scales
    x, y = (width - 1) / 2, (height - 1) / 2
    shift_x = rng.uniform(-1, 1, count) * _SHIFT * width
    shift_y = rng.uniform(-1, 1, count) * _SHIFT * height
    zero = np.zeros(count)
    row_x = (cos, -sin, x - cos * x + sin * y + shift_x)
    row_y = (sin, cos, y - sin * x - cos * y + shift_y)
    return np.stack([*row_x, *row_y, zero, zero], axis=1).astype(np.float32)


def _edge_weights(height: int, width: int) -> np.ndarray:
    """Returns float32 [height, width, 1]: 1 at the edges, 0 beyond `_EDGE_WIDTH`."""
    rows, columns = (
        np.minimum(np.arange(n), np.arange(n)[::-1]) / (n * _EDGE_WIDTH)
        for n in (height, width)
    )
    distance = np.minimum(rows[:, None], columns[None])
    return np.clip(1 - distance, 0, 1).astype(np.float32)[..., None]


def _normalized(gradient: np.ndarray) -> np.ndarray:
    squares = np.mean(np.square(gradient), axis=(1, 2, 3), keepdims=True)
    return gradient / (np.sqrt(squares) + 1e-12)


def _total_variation_gradient(images: np.ndarray, softness: float = 1.0) -> np.ndarray:
    """Returns the gradient of the sum of sqrt(dx ** 2 + dy ** 2 + softness ** 2)."""
    down = np.diff(images, axis=1, append=images[:, -1:])
    right = np.diff(images, axis=2, append=images[:, :, -1:])
    length = np.sqrt(down**2 + right**2 + softness**2)
    down, right = down / length, right / length
    gradient = -(down + right)
    gradient[:, 1:] += down[:, :-1]
    gradient[:, :, 1:] += right[:, :, :-1]
    return gradient
