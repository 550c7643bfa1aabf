"""Parses the augmentation of `augment` and applies it."""

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from estimator_clf.core.errors import DataError
from estimator_clf.core.registry import suggest
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
_WHOLE = ('crop', 'cutout', 'cutout_inside')

# Number of RandAugment's ops if only their magnitude is given, and its maximum.
_LAYERS, _MOST_LAYERS = 2, 14

_KNOWN = {**OPS, **BLENDS}


def parse(text: str | None) -> tuple[tuple[str, Any], ...]:
    """Parses augmentation such as `flip,crop:4,brightness:0.2`.

    Args:
      text: names of `OPS`, each with an amount after a colon where it is not the
        default; applied in this order. Those of `BLENDS` are applied last wherever
        they are named: a crop would change the shares of a mixed label.

    Returns:
      Tuple of (name, amount); the amount is a float, of randaugment a pair (N, M).

    Raises:
      DataError: unknown name, or an amount out of range.
    """
    steps: dict[str, Any] = {}
    for part in filter(None, (p.strip() for p in (text or '').split(','))):
        name, _, given = part.partition(':')
        if name not in _KNOWN:
            raise DataError(
                f'`augment`: there is no {name!r}{suggest(name, _KNOWN)} There are: '
                + ', '.join(sorted(_KNOWN))
            )
        amount = _layers(given) if name == 'randaugment' else _amount(name, given)
        if name in steps:
            # It would use the same random numbers: two flips are none.
            raise DataError(f'`augment`: {name} must be named once only')
        steps[name] = amount
    if {'flip', 'alternating_flip'} <= set(steps):
        raise DataError(
            '`augment`: flip and alternating_flip undo each other; give one'
        )
    return tuple(sorted(steps.items(), key=lambda step: step[0] in BLENDS))


def _amount(name: str, given: str) -> float:
    _, usual, low, high = _KNOWN[name]
    try:
        amount = float(given) if given else usual
    except ValueError:
        amount = float('nan')
    if not low <= amount <= high:
        raise DataError(
            f'`augment`: the amount of {name} must be a number from {low:g} to '
            f'{high:g}, got {given!r}'
        )
    if name in _WHOLE and amount != int(amount):
        raise DataError(
            f'`augment`: the amount of {name} must be whole pixels, got {given!r}'
        )
    return amount


def _layers(given: str) -> tuple[int, float]:
    """Parses RandAugment's `M` or `NxM` into (N, M)."""
    match = re.fullmatch(r'(?:(\d+)x)?([^x]*)', given)
    layers = int(match[1] or _LAYERS) if match else 0
    if not match or not 1 <= layers <= _MOST_LAYERS:
        raise DataError(
            '`augment`: randaugment must be randaugment:M or randaugment:NxM, with N '
            f'from 1 to {_MOST_LAYERS} and M from 0 to 30, got {given!r}'
        )
    return layers, _amount('randaugment', match[2])


def apply(images: tf.Tensor, rng: ExampleRng, steps: Steps) -> tf.Tensor:
    """Applies the parsed steps that do not change labels, in order.

    Args:
      images: uint8 [B, H, W, C].
      rng: random numbers of the B examples.
      steps: see `parse`.

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
      steps: see `parse`.
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
        if name in _WHOLE and amount >= min(image_shape[:2]):
            raise DataError(
                f'`augment={name}:{amount:g}` must be smaller than the images, which '
                f'are {image_shape[0]}x{image_shape[1]}'
            )
