"""Ops that move pixels."""

import math

import tensorflow as tf

from input.augment.pixel_ops import to_uint8

# Pixels to either side for which `crop` takes its columns one by one.
_MANY = 64


def flip(images, draw, amount):
    """Mirrors left to right, each with probability `amount`."""
    return _reversed(images, draw.uniform('flip') < amount, 2)


def alternating_flip(images, draw, amount):
    """Mirrors left to right, in every other epoch those that were not in the last.

    Jordan, 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (arXiv:2404.00498),
    section 3.6: two epochs in a row then show each image both ways round.

    Args:
      images: uint8 [B, H, W, C].
      draw: `ExampleRng`.
      amount: probability that an image is mirrored in the epochs 0, 2, 4, …
    """
    chosen = tf.math.logical_xor(draw.constant('flip') < amount, draw.odd_epoch)
    return _reversed(images, chosen, 2)


def vflip(images, draw, amount):
    """Mirrors top to bottom, each with probability `amount`."""
    return _reversed(images, draw.uniform('vflip') < amount, 1)


def crop(images, draw, amount):
    """Moves each by up to `amount` pixels each way; the edge is filled by reflection.

    This is the padded random crop of He et al. 2015 ("Deep residual learning"),
    section 4.2, which fills with black.
    """
    pad = int(amount)
    height, width, channels = images.shape[1:]
    row, column = (draw.integer(f'crop {n}', 0, 2 * pad) for n in ('row', 'column'))
    place = row[:, None] - pad + tf.range(height)
    # What lies outside, reflected: `tf.pad` takes six times as long as all the rest.
    place = height - 1 - tf.abs(height - 1 - tf.abs(place))
    rows = tf.gather(
        tf.reshape(images, [-1, width, channels]),
        place + height * tf.range(tf.shape(images)[0])[:, None],
    )
    left, right = rows[:, :, 1 : pad + 1], rows[:, :, width - pad - 1 : width - 1]
    rows = tf.concat([tf.reverse(left, [2]), rows, tf.reverse(right, [2])], 2)
    if 2 * pad >= _MANY:
        return tf.gather(rows, column[:, None] + tf.range(width), axis=2, batch_dims=1)
    # Those of one column together: whole blocks are copied, not pixels.
    groups = tf.dynamic_partition(rows, column, 2 * pad + 1)
    places = tf.dynamic_partition(tf.range(tf.shape(rows)[0]), column, 2 * pad + 1)
    moved = [group[:, :, n : n + width] for n, group in enumerate(groups)]
    return tf.dynamic_stitch(places, moved)


def zoom(images, draw, amount):
    """Zooms each about its middle by a factor from [1 - amount, 1 + amount]."""
    # Zooming out needs pixels from outside: as many as the largest window reaches.
    height, width = images.shape[1:3]
    sides = [int(s * amount / (1.0 - amount) / 2.0) + 1 for s in (height, width)]
    pads = [min(p, s - 1) for p, s in zip(sides, (height, width), strict=True)]
    padded = tf.pad(images, [[0, 0], [pads[0]] * 2, [pads[1]] * 2, [0, 0]], 'REFLECT')
    half = 0.5 / draw.uniform('zoom', 1.0 - amount, 1.0 + amount)
    ends = []
    for side, pad in zip((height, width), pads, strict=True):
        # `crop_and_resize` counts from the middle of the first pixel to the middle
        # of the last: its 0..1 are side - 1 pixels.
        middle, reach = pad + (side - 1) / 2.0, half * (side - 1)
        last = max(1, side + 2 * pad - 1)
        ends.append([(middle + s * reach) / last for s in (-1, 1)])
    (top, bottom), (left, right) = ends
    return _windows(padded, tf.stack([top, left, bottom, right], 1), (height, width))


def rotate(images, draw, amount):
    """Turns each about its middle by up to `amount` degrees either way, bilinearly.

    What comes from outside of the image is filled by reflection.
    """
    angle = draw.uniform('rotate', -amount, amount) * (math.pi / 180.0)
    cos, sin = tf.cos(angle), tf.sin(angle)
    return affine(images, ((cos, -sin), (sin, cos)), (0.0, 0.0), 'REFLECT')


def affine(images, matrix, shift, fill_mode, fill_value=0.0):
    """Moves pixels about the middle of each image, bilinearly.

    Args:
      images: uint8 [B, H, W, C].
      matrix: ((a, b), (c, d)), float32 [B] each: the pixel at (x, y) from the middle
        shows what was at (a x + b y, c x + d y) from it.
      shift: (right, down), float32 [B] or float, added to that place.
      fill_mode: what comes from outside: 'REFLECT', or 'CONSTANT'.
      fill_value: the constant.

    Returns:
      uint8 [B, H, W, C].
    """
    height, width = images.shape[1:3]
    middle_x, middle_y = (width - 1) / 2.0, (height - 1) / 2.0
    (a, b), (c, d) = matrix
    zero = tf.zeros_like(a)
    entries = [
        (a, b, middle_x - a * middle_x - b * middle_y + shift[0]),
        (c, d, middle_y - c * middle_x - d * middle_y + shift[1]),
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


def resized_crop(images, draw, amount):
    """Cuts a window of `amount` to all of the area, aspect 3:4 to 4:3, to full size.

    A window that would be taller or wider than the image is cut to fit. Images
    that come encoded are cut while they are decoded instead, see
    `input.images.decode.random_window`.
    """
    height, width = images.shape[1:3]
    area = draw.uniform('crop area', amount, 1.0)
    ratio = tf.exp(draw.uniform('crop aspect', -0.28768207, 0.28768207))  # log(4/3)
    tall = tf.minimum(tf.sqrt(area / ratio), 1.0)
    wide = tf.minimum(tf.sqrt(area * ratio), 1.0)
    top = draw.uniform('crop top') * (1.0 - tall)
    left = draw.uniform('crop left') * (1.0 - wide)
    boxes = tf.stack([top, left, top + tall, left + wide], 1)
    return _windows(images, boxes, (height, width))


def _reversed(images, chosen, axis):
    """Reverses those chosen, bool [B]; the others are copied as they are.

    `tf.where` with a condition that is to be broadcast takes four times as long.
    """
    chosen = tf.cast(chosen, tf.int32)
    as_is, others = tf.dynamic_partition(images, chosen, 2)
    places = tf.dynamic_partition(tf.range(tf.size(chosen)), chosen, 2)
    return tf.dynamic_stitch(places, [as_is, tf.reverse(others, [axis])])


def _windows(images, boxes, size):
    """Cuts one box [top, left, bottom, right] of 0..1 out of each, resized."""
    count = tf.shape(images)[0]
    return to_uint8(tf.image.crop_and_resize(images, boxes, tf.range(count), size))
