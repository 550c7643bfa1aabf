"""Cutout: masks a square of the image."""

from collections.abc import Callable

import tensorflow as tf

from input.augment.pixel_ops import mean_color
from input.sampling.stateless_random import ExampleRng


def cutout(images: tf.Tensor, rng: ExampleRng, amount: float) -> tf.Tensor:
    """Masks a square of `amount` pixels a side, which may be partly outside.

    DeVries and Taylor 2017 ("Improved regularization of convolutional neural networks
    with cutout"): the center is sampled uniformly from all pixels. They fill with 0
    after standardization, which is the mean color of the dataset. Here it is the
    image's own mean color, which equals it on average and depends on the example alone;
    black would be far from the mean, a mark that a network can learn.
    """
    side = int(amount)

    def start(name, length):
        return rng.integer(f'cutout {name}', 0, length - 1) - side // 2

    return _hidden(images, side, start)


def cutout_inside(images: tf.Tensor, rng: ExampleRng, amount: float) -> tf.Tensor:
    """Masks a square of `amount` pixels a side, completely inside the image.

    As Jordan's airbench96 does (2024, arXiv:2404.00498): the same area is masked in
    each image, less often at the edges. The fill is that of `cutout`.
    """
    side = int(amount)

    def start(name, length):
        return rng.integer(f'cutout_inside {name}', 0, length - side)

    return _hidden(images, side, start)


def _hidden(
    images: tf.Tensor, side: int, start_of: Callable[[str, int], tf.Tensor]
) -> tf.Tensor:
    inside = []
    for name, length in zip(('row', 'column'), images.shape[1:3], strict=True):
        start = start_of(name, length)[:, None]
        place = tf.range(length)[None, :]
        within = tf.logical_and(place >= start, place < start + side)
        inside.append(tf.cast(within, tf.uint8) * 255)
    height, width, channels = images.shape[1:]
    rows = tf.reshape(images, [-1, height, width * channels])
    fill = tf.cast(tf.round(mean_color(tf.cast(images, tf.float32))), tf.uint8)
    fill = tf.tile(fill, [1, width])[:, None, :]
    columns = tf.repeat(inside[1], channels, axis=1)[:, None, :]
    hidden = tf.bitwise.bitwise_and(inside[0][:, :, None], columns)
    # Bit by bit: `tf.where` takes several times as long as these three together.
    change = tf.bitwise.bitwise_and(tf.bitwise.bitwise_xor(rows, fill), hidden)
    return tf.reshape(tf.bitwise.bitwise_xor(rows, change), tf.shape(images))
