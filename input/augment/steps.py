"""What `--augment` says, and doing it."""

from estimator_clf.registry import suggest
from input.augment import colour, geometric
from input.errors import DataError

# name -> (function, amount if none is given, lowest and highest amount)
OPS = {
    'flip': (geometric.flip, 0.5, 0.0, 1.0),
    'vflip': (geometric.vflip, 0.5, 0.0, 1.0),
    'crop': (geometric.crop, 4.0, 1.0, 1000.0),
    'zoom': (geometric.zoom, 0.1, 0.0, 0.5),
    'rotate': (geometric.rotate, 15.0, 0.0, 180.0),
    'resized_crop': (geometric.resized_crop, 0.25, 0.01, 1.0),
    'brightness': (colour.brightness, 0.2, 0.0, 1.0),
    'contrast': (colour.contrast, 0.2, 0.0, 1.0),
    'saturation': (colour.saturation, 0.2, 0.0, 1.0),
}


def parse(text):
    """Reads what `--augment` says: `flip,crop:4,brightness:0.2`.

    Args:
      text: names of `OPS`, each with an amount behind a colon if it is not to be
        the usual one; applied in this order.

    Returns:
      Tuple of (name, amount).

    Raises:
      DataError: unknown name, or an amount out of range.
    """
    steps = []
    for part in filter(None, (p.strip() for p in (text or '').split(','))):
        name, _, given = part.partition(':')
        if name not in OPS:
            raise DataError(
                f'--augment: there is no {name!r}{suggest(name, OPS)} There are: '
                + ', '.join(sorted(OPS))
            )
        _, usual, low, high = OPS[name]
        try:
            amount = float(given) if given else usual
        except ValueError:
            amount = float('nan')
        if not low <= amount <= high:
            raise DataError(
                f'--augment: the amount of {name} must be a number from {low:g} to '
                f'{high:g}, got {given!r}'
            )
        if name == 'crop' and amount != int(amount):
            raise DataError(
                f'--augment: the amount of crop must be whole pixels, got {given!r}'
            )
        if name in dict(steps):
            # It would draw the same numbers again: two flips are none.
            raise DataError(f'--augment: {name} must be named once only')
        steps.append((name, amount))
    return tuple(steps)


def apply(images, draw, steps):
    """Applies parsed steps in order.

    Args:
      images: uint8 [B, H, W, C].
      draw: `Draw` for the B examples.
      steps: see `parse`.

    Returns:
      uint8 [B, H, W, C].
    """
    shape = images.shape
    for name, amount in steps:
        images = OPS[name][0](images, draw, amount)
    images.set_shape(shape)
    return images


def check_size(steps, image_shape):
    """Raises DataError if a step cannot work on pictures of this shape."""
    for name, amount in steps:
        if name == 'crop' and amount >= min(image_shape[:2]):
            raise DataError(
                f'--augment=crop:{amount:g} must be smaller than the pictures, which '
                f'are {image_shape[0]}x{image_shape[1]}'
            )
