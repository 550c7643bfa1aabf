"""Applies parsed augmentation to batches of images."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from estimator_clf.core.errors import DataError
from input.augment import color, geometric
from input.augment.cutout import cutout, cutout_inside
from input.augment.mixup_cutmix import BLENDS, blend
from input.augment.randaugment import randaugment
from input.sampling.stateless_random import ExampleRng

# Parsed augmentation: (name, amount), of randaugment (name, (N, M)).
Steps = Sequence[tuple[str, Any]]

# name -> (function, default amount, lowest and highest amount)
OPS: dict[str, tuple[Callable[..., tf.Tensor], float, float, float]] = {
    'flip': (geometric.flip, 0.5, 0.0, 1.0),
    'alternating_flip': (geometric.alternating_flip, 0.5, 0.0, 1.0),
    'vflip': (geometric.vflip, 0.5, 0.0, 1.0),
    'crop': (geometric.crop, 4.0, 1.0, 1000.0),
    'zoom': (geometric.zoom, 0.1, 0.0, 0.5),
    'rotate': (geometric.rotate, 15.0, 0.0, 180.0),
    'resized_crop': (geometric.resized_crop, 0.25, 0.01, 1.0),
    'brightness': (color.brightness, 0.2, 0.0, 1.0),
    'contrast': (color.contrast, 0.2, 0.0, 1.0),
    'saturation': (color.saturation, 0.2, 0.0, 1.0),
    'cutout': (cutout, 8.0, 1.0, 1000.0),
    'cutout_inside': (cutout_inside, 8.0, 1.0, 1000.0),
    'randaugment': (randaugment, 9.0, 0.0, 30.0),
}

# Ops that are applied together where they are adjacent.
COLORS = ('brightness', 'contrast', 'saturation')

# Amounts that are pixels.
WHOLE_PIXELS = ('crop', 'cutout', 'cutout_inside')


def apply(images: tf.Tensor, rng: ExampleRng, steps: Steps) -> tf.Tensor:
    """Applies the parsed steps that do not change labels, in order.

    Args:
      images: uint8 [B, H, W, C].
      rng: random numbers of the B examples.
      steps: see `input.augment.parser.parse`.

    Returns:
      uint8 [B, H, W, C].
    """
    shape = images.shape
    steps = [step for step in steps if step[0] in OPS]
    for is_color, row in itertools.groupby(steps, lambda step: step[0] in COLORS):
        if is_color:
            images = color.change_colors(images, rng, list(row))
        else:
            for name, amount in row:
                images = OPS[name][0](images, rng, amount)
        images.set_shape(shape)
    return images


def mix(
    images: tf.Tensor,
    labels: tf.Tensor,
    rng: ExampleRng,
    steps: Steps,
    num_classes: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Applies the parsed steps that mix examples.

    Args:
      images: uint8 [B, H, W, C].
      labels: int32 [B].
      rng: random numbers of the B examples.
      steps: see `input.augment.parser.parse`.
      num_classes: number of classes.

    Returns:
      (images, labels): uint8 [B, H, W, C], float32 [B, num_classes]; without such
      steps unchanged.
    """
    steps = [step for step in steps if step[0] in BLENDS]
    if not steps:
        return images, labels
    return blend(images, labels, rng, steps, num_classes)


def check_size(steps: Steps, image_shape: Sequence[int]) -> None:
    """Raises DataError if a step is not possible on images of this shape."""
    for name, amount in steps:
        if name in WHOLE_PIXELS and amount >= min(image_shape[:2]):
            raise DataError(
                f'`augment={name}({amount:g})` must be smaller than the images, which '
                f'are {image_shape[0]}x{image_shape[1]}'
            )
