"""Augmentation of whole batches of uint8 images.

Every image op takes `(images, draw, amount)`: images uint8 [B, H, W, C], a `ExampleRng`
with one generator per example, and how strong; it returns images of the same shape
and dtype. Whole batches, since for small images the cost of a tf.data element is more
than the cost of its pixels.
"""

from input.augment.parser import parse
from input.augment.pipeline import OPS, apply, check_size, mix

__all__ = ['OPS', 'apply', 'check_size', 'mix', 'parse']
