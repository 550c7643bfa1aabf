"""Averages over several views of an image, outside of training."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from estimator_clf.core import errors
from model_fns.layers.layer_builder import LayerBuilder


class View(NamedTuple):
    """One way to look at images: how much it counts, and what it makes of them."""

    weight: float
    change: Callable[[tf.Tensor], tf.Tensor]


def views(mirror: bool, shift: int) -> list[View]:
    """Lists the views, the images as they are first; their weights add up to 1.

    With `mirror`, half the weight goes to mirror images. With `shift`, half goes to
    images moved by so many pixels up and to the left, and down and to the right, what
    is missing at the edge filled by reflection (airbench's test-time augmentation:
    Jordan, 2024, arXiv:2404.00498, section 3.5).
    """
    found = [View(1.0, tf.identity)]
    if shift:
        # A window that begins n pixels further down shows the image n further up.
        windows = [_window(shift, 2 * shift), _window(shift, 0)]
        found = [View(0.5, tf.identity), *(View(0.25, w) for w in windows)]
    if mirror:
        found = [
            View(view.weight / 2.0, _mirrored(view.change) if turn else view.change)
            for view in found
            for turn in (False, True)
        ]
    return found


def check_size(shift: int, height: int, width: int) -> None:
    """Raises SettingError where images are too small to be moved so far."""
    if shift >= min(height, width):
        raise errors.SettingError(
            f'`eval_tta`: shift must be less than the sides of the images, {height}x'
            f'{width}, got {shift}'
        )


def averaged(run: Callable, layers: Callable[[], LayerBuilder], images, of: list[View]):
    """Sends several views of the same images through the network.

    The logits are averaged. One view goes after the other, so that several take the
    memory of one.

    Args:
        run: function (net, images, reuse) -> logits, floating [B, classes]; where
            `reuse` is True it must use its variables again.
        layers: function -> `LayerBuilder` that is not training.
        images: [B, H, W, C].
        of: the views.

    Returns:
        float32 [B, classes], and the `LayerBuilder` of the first view.
    """
    net = layers()
    logits = run(net, of[0].change(images), None)
    total = of[0].weight * logits
    for view in of[1:]:
        with tf.control_dependencies([total]):
            changed = view.change(tf.identity(images))
            total += view.weight * run(layers(), changed, True)
    return total, net


def _mirrored(change):
    return lambda images: tf.reverse(change(images), [2])


def _window(pad, start):
    def change(images):
        _, height, width, _ = images.shape
        padded = tf.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)), 'REFLECT')
        return padded[:, start : start + height, start : start + width]

    return change
