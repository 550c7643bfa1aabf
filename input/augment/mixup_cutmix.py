"""mixup and CutMix: combine two images of a batch, and their labels."""

import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from input.augment.pixel_ops import to_uint8
from input.sampling.stateless_random import ExampleRng

# Steps of the table of quantiles of the Beta distribution.
_STEPS = 4096


def mixup(
    images: tf.Tensor, partners: tf.Tensor, rng: ExampleRng, alpha: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Blends each image with a partner (Zhang et al. 2018, "mixup").

    Args:
      images: uint8 [B, H, W, C].
      partners: the same, another image for each.
      rng: random numbers of the B examples.
      alpha: the partner's share is sampled from Beta(alpha, alpha), for each example
        separately.

    Returns:
      (uint8 [B, H, W, C], the partner's share float32 [B]).
    """
    share = beta(rng.uniform('mixup share'), alpha)
    own, other = tf.cast(images, tf.float32), tf.cast(partners, tf.float32)
    return to_uint8(own + share[:, None, None, None] * (other - own)), share


def cutmix(
    images: tf.Tensor, partners: tf.Tensor, rng: ExampleRng, alpha: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Pastes a rectangle of a partner into each image (Yun et al. 2019, "CutMix").

    The rectangle has the image's aspect, and its center anywhere; it is clipped to the
    image, and the share is that of the remaining pixels.

    Args:
      images: uint8 [B, H, W, C].
      partners: the same, another image for each.
      rng: random numbers of the B examples.
      alpha: the rectangle's area, before clipping, is sampled from
        Beta(alpha, alpha), for each example separately.

    Returns:
      (uint8 [B, H, W, C], the partner's share float32 [B]).
    """
    ratio = tf.sqrt(beta(rng.uniform('cutmix area'), alpha))
    inside = []
    for name, length in zip(('row', 'column'), images.shape[1:3], strict=True):
        side = tf.cast(tf.round(ratio * length), tf.int32)
        center = rng.integer(f'cutmix {name}', 0, length - 1)
        start = (center - side // 2)[:, None]
        place = tf.range(length)[None, :]
        inside.append(tf.logical_and(place >= start, place < start + side[:, None]))
    pasted = tf.logical_and(inside[0][:, :, None], inside[1][:, None, :])
    share = tf.reduce_mean(tf.cast(pasted, tf.float32), [1, 2])
    return tf.where(pasted[..., None], partners, images), share


# name -> (function, default amount, lowest and highest amount)
BLENDS = {
    'mixup': (mixup, 0.2, 0.01, 100.0),
    'cutmix': (cutmix, 1.0, 0.01, 100.0),
}


def blend(
    images: tf.Tensor,
    labels: tf.Tensor,
    rng: ExampleRng,
    steps: Sequence[tuple[str, float]],
    num_classes: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mixes each example with the one before it in the batch.

    Of mixup and CutMix, if both are given, each example gets one, with probability
    1/2. The partner is a function of the order, which is random in training already.

    Args:
      images: uint8 [B, H, W, C].
      labels: int32 [B].
      rng: random numbers of the B examples.
      steps: pairs (name of `BLENDS`, amount).
      num_classes: number of classes.

    Returns:
      (uint8 [B, H, W, C], labels float32 [B, num_classes], each row of sum 1).
    """
    shape = images.shape
    partners = tf.roll(images, 1, 0)
    results = [BLENDS[name][0](images, partners, rng, a) for name, a in steps]
    images, share = results[0]
    if len(results) == 2:
        chosen = rng.uniform('mixup or cutmix') < 0.5
        images = tf.where(chosen[:, None, None, None], images, results[1][0])
        share = tf.where(chosen, share, results[1][1])
    images.set_shape(shape)
    own = tf.one_hot(labels, num_classes)
    share = share[:, None]
    return images, (1.0 - share) * own + share * tf.roll(own, 1, 0)


def beta(uniform: tf.Tensor, alpha: float) -> tf.Tensor:
    """Maps uniform numbers from [0, 1) to samples of Beta(alpha, alpha).

    Args:
      uniform: float32 [B].
      alpha: parameter of the distribution.

    Returns:
      float32 [B].
    """
    place = uniform * _STEPS
    low = tf.cast(place, tf.int32)
    table = tf.constant(_quantiles(alpha), tf.float32)
    below, above = tf.gather(table, low), tf.gather(table, low + 1)
    return below + (place - tf.cast(low, tf.float32)) * (above - below)


@functools.cache
def _quantiles(alpha: float) -> np.ndarray:
    from scipy.special import betaincinv

    return betaincinv(alpha, alpha, np.linspace(0.0, 1.0, _STEPS + 1))
