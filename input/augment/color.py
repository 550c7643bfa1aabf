"""Color ops: brightness, contrast, saturation.

All of them have one form: a pixel p whose gray is g becomes a p + b g + c, with three
numbers a, b, c for each image. So has a sequence of them, which is applied at once:
pixels are clipped to 0..255 and rounded once, at its end.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from input.augment.pixel_ops import LUMA, mean_color, to_uint8
from input.sampling.stateless_random import ExampleRng

# (a, b, c), float32 [B] each.
Numbers = tuple[tf.Tensor, tf.Tensor, tf.Tensor]

# Pixels whose gray is computed by one row of a matrix product: fewer mean fewer
# multiplications by zero, more make the product more efficient. For 32x32, 1.97 us an
# image with 4, 2.71 with 8, 3.64 with 16; 9 where channels are added one by one.
_TOGETHER = 4


def _brightness(numbers: Numbers, factor: tf.Tensor, gray: tf.Tensor) -> Numbers:
    """Multiplies all channels."""
    del gray
    a, b, c = numbers
    return a * factor, b * factor, c * factor


def _contrast(numbers: Numbers, factor: tf.Tensor, gray: tf.Tensor) -> Numbers:
    """Scales about the mean gray, which is (a + b) G + c at this point."""
    a, b, c = numbers
    mean = (a + b) * gray + c
    return a * factor, b * factor, c * factor + mean * (1.0 - factor)


def _saturation(numbers: Numbers, factor: tf.Tensor, gray: tf.Tensor) -> Numbers:
    """Scales about the gray, which is (a + b) g + c at this point."""
    del gray
    a, b, c = numbers
    return a * factor, b * factor + (a + b) * (1.0 - factor), c


_CHANGES = {
    'brightness': _brightness,
    'contrast': _contrast,
    'saturation': _saturation,
}


def brightness(images: tf.Tensor, rng: ExampleRng, amount: float) -> tf.Tensor:
    """Multiplies each by a factor from [1 - amount, 1 + amount]."""
    return change_colors(images, rng, [('brightness', amount)])


def contrast(images: tf.Tensor, rng: ExampleRng, amount: float) -> tf.Tensor:
    """Scales each about its mean gray by a factor from [1 - amount, 1 + amount]."""
    return change_colors(images, rng, [('contrast', amount)])


def saturation(images: tf.Tensor, rng: ExampleRng, amount: float) -> tf.Tensor:
    """Scales each away from its gray by a factor from [1 - amount, 1 + amount].

    Gray images do not change.
    """
    return change_colors(images, rng, [('saturation', amount)])


def change_colors(
    images: tf.Tensor, rng: ExampleRng, steps: Sequence[tuple[str, float]]
) -> tf.Tensor:
    """Applies several of the ops above one after the other.

    Args:
      images: uint8 [B, H, W, C], C 1 or 3.
      rng: random numbers of the B examples.
      steps: pairs (name of the op, amount).

    Returns:
      uint8 [B, H, W, C].
    """
    channels = images.shape[-1]
    if channels == 1:
        steps = [step for step in steps if step[0] != 'saturation']
        if not steps:
            return images
    names = {name for name, _ in steps}
    pixels = tf.cast(images, tf.float32)
    mean = None
    if 'contrast' in names:
        mean = tf.reduce_sum(mean_color(pixels) * _weights(channels), -1)
    one = tf.ones_like(rng.uniform('any'))
    numbers = (one, tf.zeros_like(one), tf.zeros_like(one))
    for name, amount in steps:
        factor = rng.uniform(name, 1.0 - amount, 1.0 + amount)
        numbers = _CHANGES[name](numbers, factor, mean)
    a, b, c = (number[:, None] for number in numbers)
    flat = tf.reshape(pixels, [-1, pixels.shape[1] * pixels.shape[2] * channels])
    changed = flat * a
    if 'saturation' in names:
        changed += _thousand_grays(flat) * (b / 1000.0)
    if 'contrast' in names:
        changed += c
    return tf.reshape(to_uint8(changed), tf.shape(images))


def _weights(channels: int) -> tf.Tensor:
    return tf.constant(LUMA if channels == 3 else [1.0])


def _thousand_grays(flat: tf.Tensor) -> tf.Tensor:
    """Returns 1000 times the gray of each pixel, for each channel.

    With integer weights, whose sums are exact: a matrix product may add in another
    order for a batch of another size, and an example must not depend on it.

    Args:
      flat: float32 [B, H * W * 3].

    Returns:
      float32 [B, H * W * 3].
    """
    size = flat.shape[-1] // 3
    together = next(n for n in range(_TOGETHER, 0, -1) if size % n == 0)
    weights = np.round(1000.0 * np.array(LUMA))
    block = np.kron(np.eye(together), np.repeat(weights[:, None], 3, axis=1))
    grays = tf.matmul(
        tf.reshape(flat, [-1, 3 * together]), tf.constant(block, tf.float32)
    )
    return tf.reshape(grays, tf.shape(flat))
