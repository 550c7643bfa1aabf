"""Test-time augmentation: averages the predictions for several views of an image."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from estimator_clf.core import errors
from model_fns.layers.layer_builder import LayerBuilder


class AugmentedView(NamedTuple):
    """An augmentation of images and its weight in the average.

    Attributes:
      weight: above 0; the weights of all views add up to 1.
      augment: function of images [B, H, W, C].
    """

    weight: float
    augment: Callable[[tf.Tensor], tf.Tensor]


def augmented_views(mirror: bool, shift: int) -> list[AugmentedView]:
    """Lists the views to average, the unchanged images first.

    Args:
      mirror: give half of the weight to horizontally flipped images.
      shift: in pixels; above 0, half of the weight goes to images moved by `shift` up
        and to the left, and down and to the right, with reflected borders (airbench's
        test-time augmentation: Jordan, 2024, arXiv:2404.00498, section 3.5).
    """
    views = [AugmentedView(1.0, tf.identity)]
    if shift:
        # A window that starts n pixels further down shows the image n further up.
        windows = [_window(shift, 2 * shift), _window(shift, 0)]
        shifted = [AugmentedView(0.25, window) for window in windows]
        views = [AugmentedView(0.5, tf.identity), *shifted]
    if mirror:
        views = [
            AugmentedView(
                view.weight / 2.0, _flipped(view.augment) if flip else view.augment
            )
            for view in views
            for flip in (False, True)
        ]
    return views


def check_size(shift: int, height: int, width: int) -> None:
    """Checks that images are large enough to be moved by `shift` pixels.

    Raises:
      SettingError: they are not.
    """
    if shift >= min(height, width):
        raise errors.SettingError(
            f'`eval_tta`: shift must be less than the sides of the images, {height}x'
            f'{width}, got {shift}'
        )


def average_logits(
    network: Callable,
    make_layers: Callable[[], LayerBuilder],
    images: tf.Tensor,
    views: Sequence[AugmentedView],
) -> tuple[tf.Tensor, LayerBuilder]:
    """Averages the logits of several views of the same images.

    The views run one after the other, so that several need the memory of one.

    Args:
      network: function (net, images, reuse) -> logits, floating [B, classes]; with
        `reuse` True it must reuse its variables.
      make_layers: function -> `LayerBuilder` in inference mode.
      images: [B, H, W, C].
      views: see `augmented_views`.

    Returns:
      float32 [B, classes], and the `LayerBuilder` of the first view.
    """
    net = make_layers()
    logits = network(net, views[0].augment(images), None)
    total = views[0].weight * logits
    for view in views[1:]:
        with tf.control_dependencies([total]):
            augmented = view.augment(tf.identity(images))
            total += view.weight * network(make_layers(), augmented, True)
    return total, net


def _flipped(augment):
    return lambda images: tf.reverse(augment(images), [2])


def _window(pad, start):
    def augment(images):
        _, height, width, _ = images.shape
        padded = tf.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)), 'REFLECT')
        return padded[:, start : start + height, start : start + width]

    return augment
