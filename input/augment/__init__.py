"""Augmentation of whole batches of uint8 images.

Every image op takes `(images, rng, amount)`: images uint8 [B, H, W, C], an `ExampleRng`
with random numbers of each example, and the strength; it returns images of the same
shape and dtype. Whole batches, since for small images a tf.data element costs more than
its pixels.
"""

from input.augment.parser import parse
from input.augment.pipeline import OPS, apply, check_size, mix

__all__ = ['OPS', 'apply', 'check_size', 'mix', 'parse']
