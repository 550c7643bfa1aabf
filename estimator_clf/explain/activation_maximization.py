"""Activation maximization: the image that a class or a unit likes best."""

import numpy as np

# Found on MNIST and CIFAR-10 by looking: without movement and smoothness the images
# are noise that only the network understands.
SMOOTHNESS = 0.7
SPARSITY = 0.1
STEPS = 300

_RATE = 10.0  # Levels of 255 that a pixel moves in the first steps, about.
_LAST_RATE = 0.1  # Share of that in the last step.
_MOMENTUM = 0.8  # Of the gradient: it should suit many movements, not the last.
_NOISE = 4.0  # Deviation of the first image, in levels.
_SHIFT = 1 / 14  # Of the side: 2 pixels of 28.
_ANGLE = 10.0  # Degrees.
_ZOOM = 0.1  # As a logarithm: from 0.9 to 1.1.
_EDGE = 8.0  # How many times as sparse the outermost pixels are, beside the middle.
_EDGE_WIDTH = 1 / 8  # Of the side, until which that falls to nothing.
_SMALL = 28  # Side in pixels below which strokes are too thin to be smoothed as much.


def maximize(
    explainer,
    tensor,
    units,
    *,
    steps=STEPS,
    smoothness=SMOOTHNESS,
    sparsity=SPARSITY,
    seed=0,
):
    """Climbs the gradient from the mean color, one image for each unit.

    Each step sees the image moved, turned and zoomed a little at random, so that only
    what survives that can grow (Mordvintsev et al., 2015; Olah et al., 2017, "Feature
    Visualization"). Two penalties keep it plain: its total variation (Mahendran and
    Vedaldi, 2015), and its distance from the mean color, which counts
    more near the edges, so that a thing comes whole and into the middle.

    Args:
      explainer: `Explainer`.
      tensor: [B, units] or [B, H, W, channels]: `explainer.scores`, or that of a layer.
      units: list of int, the classes, units or channels; at most a batch.
      steps: how many.
      smoothness: weight of the total variation, beside a gradient of size 1.
      sparsity: weight of the distance from the mean color.
      seed: of noise and movement.

    Returns:
      float32 [units, H, W, C] in 0..255.
    """
    rng = np.random.default_rng(seed)
    goal = explainer.goal(tensor)
    height, width, _ = explainer.shape
    smoothness = smoothness * min(1.0, min(height, width) / _SMALL)
    noise = rng.normal(0, _NOISE, (len(units), *explainer.shape))
    images = np.clip(explainer.mean + noise, 0, 255).astype(np.float32)
    direction = np.zeros_like(images)
    sparsity = sparsity * (1 + _EDGE * _nearness_of_edges(height, width))
    for step in range(steps):
        moves = random_moves(rng, len(units), height, width)
        _, gradient = explainer.moved_gradient(goal, images, units, moves)
        direction *= _MOMENTUM
        direction += (1 - _MOMENTUM) * _of_size_one(gradient)
        change = _of_size_one(direction)
        change -= smoothness * _total_variation_gradient(images)
        # Almost the sign, but calm around 0.
        change -= sparsity * np.tanh((images - explainer.mean) / 8.0)
        rate = _RATE * (1 - (1 - _LAST_RATE) * step / steps)
        images = np.clip(images + rate * change, 0, 255).astype(np.float32)
    return images


def random_moves(rng, count, height, width):
    """Draws small movements about the middle of an image.

    Returns:
      float32 [count, 8]: each the first numbers of the matrix that takes a place (x, y,
      1) of the result to one of the image, as `ImageProjectiveTransformV3` wants.
    """
    angles = np.deg2rad(rng.uniform(-_ANGLE, _ANGLE, count))
    scales = np.exp(rng.uniform(-_ZOOM, _ZOOM, count))
    cos, sin = np.cos(angles) / scales, np.sin(angles) / scales
    x, y = (width - 1) / 2, (height - 1) / 2
    shift_x = rng.uniform(-1, 1, count) * _SHIFT * width
    shift_y = rng.uniform(-1, 1, count) * _SHIFT * height
    zero = np.zeros(count)
    rows = (cos, -sin, x - cos * x + sin * y + shift_x)
    rows += (sin, cos, y - sin * x - cos * y + shift_y, zero, zero)
    return np.stack(rows, axis=1).astype(np.float32)


def _nearness_of_edges(height, width):
    """float32 [height, width, 1]: 1 at the edges, 0 from `_EDGE_WIDTH` on."""
    rows, columns = (
        np.minimum(np.arange(n), np.arange(n)[::-1]) / (n * _EDGE_WIDTH)
        for n in (height, width)
    )
    away = np.minimum(rows[:, None], columns[None])
    return np.clip(1 - away, 0, 1).astype(np.float32)[..., None]


def _of_size_one(gradient):
    squares = np.mean(np.square(gradient), axis=(1, 2, 3), keepdims=True)
    return gradient / (np.sqrt(squares) + 1e-12)


def _total_variation_gradient(images, softness=1.0):
    """Of the sum of sqrt(dx ** 2 + dy ** 2 + softness ** 2) over all pixels."""
    down = np.diff(images, axis=1, append=images[:, -1:])
    right = np.diff(images, axis=2, append=images[:, :, -1:])
    length = np.sqrt(down**2 + right**2 + softness**2)
    down, right = down / length, right / length
    gradient = -(down + right)
    gradient[:, 1:] += down[:, :-1]
    gradient[:, :, 1:] += right[:, :, :-1]
    return gradient
