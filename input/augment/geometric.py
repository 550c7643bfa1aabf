"""Geometric ops: flips, crops, zoom, rotation."""

import math
from collections.abc import Sequence

import tensorflow as tf

from input.augment.pixel_ops import to_uint8
from input.sampling.stateless_random import ExampleRng

# Padding (left and right) from which `crop` gathers its columns one by one.
_MANY = 64


def flip(images: tf.Tensor, rng: ExampleRng, amount: float) -> tf.Tensor:
    """Mirrors left to right, each with probability `amount`."""
    return _reversed(images, rng.uniform('flip') < amount, 2)


def alternating_flip(images: tf.Tensor, rng: ExampleRng, amount: float) -> tf.Tensor:
    """Mirrors left to right, in every other epoch those not mirrored in the last.

    Jordan, 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (arXiv:2404.00498),
    section 3.6: two consecutive epochs then contain each image in both orientations.

    Args:
      images: uint8 [B, H, W, C].
      rng: random numbers of the examples.
      amount: probability that an image is mirrored in the epochs 0, 2, 4, ...
    """
    chosen = tf.math.logical_xor(rng.constant('flip') < amount, rng.odd_epoch)
    return _reversed(images, chosen, 2)


def vflip(images: tf.Tensor, rng: ExampleRng, amount: float) -> tf.Tensor:
    """Mirrors top to bottom, each with probability `amount`."""
    return _reversed(images, rng.uniform('vflip') < amount, 1)


def crop(images: tf.Tensor, rng: ExampleRng, amount: float) -> tf.Tensor:
    """Shifts each by up to `amount` pixels each way; the edge is filled by reflection.

    This is the padded random crop of He et al. 2015 ("Deep residual learning"),
    section 4.2, which fills with black.
    """
    pad = int(amount)
    height, width, channels = images.shape[1:]
    row, column = (rng.integer(f'crop {n}', 0, 2 * pad) for n in ('row', 'column'))
    place = row[:, None] - pad + tf.range(height)
    # Outside pixels are reflected: `tf.pad` takes six times as long as all the rest.
    place = height - 1 - tf.abs(height - 1 - tf.abs(place))
    rows = tf.gather(
        tf.reshape(images, [-1, width, channels]),
        place + height * tf.range(tf.shape(images)[0])[:, None],
    )
    left, right = rows[:, :, 1 : pad + 1], rows[:, :, width - pad - 1 : width - 1]
    rows = tf.concat([tf.reverse(left, [2]), rows, tf.reverse(right, [2])], 2)
    if 2 * pad >= _MANY:
        return tf.gather(rows, column[:, None] + tf.range(width), axis=2, batch_dims=1)
    # Images of one column together: whole blocks are copied, not pixels.
    groups = tf.dynamic_partition(rows, column, 2 * pad + 1)
    places = tf.dynamic_partition(tf.range(tf.shape(rows)[0]), column, 2 * pad + 1)
    moved = [group[:, :, n : n + width] for n, group in enumerate(groups)]
    return tf.dynamic_stitch(places, moved)


def zoom(images: tf.Tensor, rng: ExampleRng, amount: float) -> tf.Tensor:
    """Zooms each about its center by a factor from [1 - amount, 1 + amount]."""
    # Zooming out needs pixels from outside, up to the border of the largest window.
    height, width = images.shape[1:3]
    sides = [int(s * amount / (1.0 - amount) / 2.0) + 1 for s in (height, width)]
    pads = [min(p, s - 1) for p, s in zip(sides, (height, width), strict=True)]
    padded = tf.pad(images, [[0, 0], [pads[0]] * 2, [pads[1]] * 2, [0, 0]], 'REFLECT')
    half = 0.5 / rng.uniform('zoom', 1.0 - amount, 1.0 + amount)
    ends = []
    for side, pad in zip((height, width), pads, strict=True):
        # `crop_and_resize` counts from the center of the first pixel to the center
        # of the last: its 0..1 are side - 1 pixels.
        center, reach = pad + (side - 1) / 2.0, half * (side - 1)
        last = max(1, side + 2 * pad - 1)
        ends.append([(center + s * reach) / last for s in (-1, 1)])
    (top, bottom), (left, right) = ends
    return _windows(padded, tf.stack([top, left, bottom, right], 1), (height, width))


def rotate(images: tf.Tensor, rng: ExampleRng, amount: float) -> tf.Tensor:
    """Rotates each about its center by up to `amount` degrees either way, bilinearly.

    Pixels from outside of the image are filled by reflection.
    """
    angle = rng.uniform('rotate', -amount, amount) * (math.pi / 180.0)
    cos, sin = tf.cos(angle), tf.sin(angle)
    return affine(images, ((cos, -sin), (sin, cos)), (0.0, 0.0), 'REFLECT')


def affine(
    images: tf.Tensor,
    matrix: Sequence[Sequence[tf.Tensor]],
    shift: Sequence[tf.Tensor | float],
    fill_mode: str,
    fill_value: float = 0.0,
) -> tf.Tensor:
    """Applies an affine transform about the center of each image, bilinearly.

    Args:
      images: uint8 [B, H, W, C].
      matrix: ((a, b), (c, d)), float32 [B] each: the output pixel at (x, y) from the
        center is the input at (a x + b y, c x + d y) from it.
      shift: (right, down), float32 [B] or float, added to that place.
      fill_mode: fill of pixels from outside: 'REFLECT', or 'CONSTANT'.
      fill_value: the constant.

    Returns:
      uint8 [B, H, W, C].
    """
    height, width = images.shape[1:3]
    center_x, center_y = (width - 1) / 2.0, (height - 1) / 2.0
    (a, b), (c, d) = matrix
    zero = tf.zeros_like(a)
    entries = [
        (a, b, center_x - a * center_x - b * center_y + shift[0]),
        (c, d, center_y - c * center_x - d * center_y + shift[1]),
        (zero, zero),
    ]
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=tf.stack([entry for row in entries for entry in row], 1),
        output_shape=tf.constant([height, width]),
        fill_value=fill_value,
        interpolation='BILINEAR',
        fill_mode=fill_mode,
    )
    return to_uint8(moved)


def resized_crop(images: tf.Tensor, rng: ExampleRng, amount: float) -> tf.Tensor:
    """Crops a window of `amount` to all of the area, aspect 3:4 to 4:3, to full size.

    A window that would be taller or wider than the image is clipped. Encoded images are
    cropped while they are decoded instead, see `input.images.decode.random_window`.
    """
    height, width = images.shape[1:3]
    area = rng.uniform('crop area', amount, 1.0)
    ratio = tf.exp(rng.uniform('crop aspect', -0.28768207, 0.28768207))  # log(4/3)
    tall = tf.minimum(tf.sqrt(area / ratio), 1.0)
    wide = tf.minimum(tf.sqrt(area * ratio), 1.0)
    top = rng.uniform('crop top') * (1.0 - tall)
    left = rng.uniform('crop left') * (1.0 - wide)
    boxes = tf.stack([top, left, top + tall, left + wide], 1)
    return _windows(images, boxes, (height, width))


def _reversed(images: tf.Tensor, chosen: tf.Tensor, axis: int) -> tf.Tensor:
    """Reverses the images that are chosen, bool [B], and copies the others.

    `tf.where` with a broadcast condition takes four times as long.
    """
    chosen = tf.cast(chosen, tf.int32)
    as_is, others = tf.dynamic_partition(images, chosen, 2)
    places = tf.dynamic_partition(tf.range(tf.size(chosen)), chosen, 2)
    return tf.dynamic_stitch(places, [as_is, tf.reverse(others, [axis])])


def _windows(images: tf.Tensor, boxes: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Crops one box [top, left, bottom, right] of 0..1 from each, and resizes it."""
    count = tf.shape(images)[0]
    return to_uint8(tf.image.crop_and_resize(images, boxes, tf.range(count), size))
