"""What `augment` says, and doing it."""

import itertools

from estimator_clf.core.errors import DataError
from input.augment import color, geometric
from input.augment.cutout import cutout, cutout_inside
from input.augment.mixup_cutmix import BLENDS, blend
from input.augment.randaugment import randaugment

# name -> (function, amount if none is given, lowest and highest amount)
OPS = {
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

# Those that are done together where they are neighbours.
COLORS = ('brightness', 'contrast', 'saturation')

# Amounts that are pixels.
WHOLE_PIXELS = ('crop', 'cutout', 'cutout_inside')


def apply(images, draw, steps):
    """Applies those of the parsed steps that leave the labels alone, in order.

    Args:
      images: uint8 [B, H, W, C].
      draw: `ExampleRng` for the B examples.
      steps: see `parse`.

    Returns:
      uint8 [B, H, W, C].
    """
    shape = images.shape
    steps = [step for step in steps if step[0] in OPS]
    for is_color, row in itertools.groupby(steps, lambda step: step[0] in COLORS):
        if is_color:
            images = color.change_colors(images, draw, list(row))
        else:
            for name, amount in row:
                images = OPS[name][0](images, draw, amount)
        images.set_shape(shape)
    return images


def mix(images, labels, draw, steps, num_classes):
    """Applies those of the parsed steps that mix examples.

    Args:
      images: uint8 [B, H, W, C].
      labels: int32 [B].
      draw: `ExampleRng` for the B examples.
      steps: see `parse`.
      num_classes: number of classes.

    Returns:
      (images, labels): uint8 [B, H, W, C], float32 [B, num_classes]; without such
      steps as they came.
    """
    steps = [step for step in steps if step[0] in BLENDS]
    if not steps:
        return images, labels
    return blend(images, labels, draw, steps, num_classes)


def check_size(steps, image_shape):
    """Raises DataError if a step cannot work on images of this shape."""
    for name, amount in steps:
        if name in WHOLE_PIXELS and amount >= min(image_shape[:2]):
            raise DataError(
                f'`augment={name}({amount:g})` must be smaller than the images, which '
                f'are {image_shape[0]}x{image_shape[1]}'
            )
