"""Cutout: a square of the picture is hidden."""

import tensorflow as tf


def cutout(images, draw, amount):
    """Hides a square of `amount` pixels a side, anywhere, also half outside.

    DeVries and Taylor 2017 ("Improved regularization of convolutional neural networks
    with cutout"): the middle is drawn evenly over all pixels. They fill with 0 after
    standardising, that is with the mean colour of the data set. Here it is the
    picture's own mean colour, which is that on average, and a function of the example
    alone; black would be far from the mean, and a mark to be learnt.
    """
    side = int(amount)
    inside = []
    for name, length in zip(('row', 'column'), images.shape[1:3], strict=True):
        start = draw.integer(f'cutout {name}', 0, length - 1)[:, None] - side // 2
        place = tf.range(length)[None, :]
        inside.append(tf.logical_and(place >= start, place < start + side))
    hidden = tf.logical_and(inside[0][:, :, None], inside[1][:, None, :])
    mean = tf.reduce_mean(tf.cast(images, tf.float32), [1, 2], keepdims=True)
    fill = tf.cast(tf.round(mean), tf.uint8)
    return tf.where(hidden[..., None], fill, images)
