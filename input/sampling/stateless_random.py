"""Stateless random numbers: one hash, the same in NumPy and in TensorFlow.

A random number is a function of (seed, epoch, index of the example, purpose) and
nothing else, so that a resumed run, another batch size or another number of workers
give the same augmentation of the same example. `tf.random.stateless_*` take one seed
per call; here every example of a batch has its own.

The hash is the finalizer of splitmix64 (Steele, Lea and Flood, "Fast splittable
pseudorandom number generators", OOPSLA 2014, with Stafford's variant 13).
"""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

_GAMMA = 0x9E3779B97F4A7C15
_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_MASK = (1 << 64) - 1


def mix(value: Any) -> Any:
    """Hashes uint64 to uint64, element by element; a bijection.

    Args:
      value: NumPy array or scalar, or tensor; dtype uint64, any shape.

    Returns:
      The same type, dtype uint64, the same shape.
    """
    if isinstance(value, tf.Tensor):
        shift, xor = tf.bitwise.right_shift, tf.bitwise.bitwise_xor

        def constant(number):
            return tf.constant(number, tf.uint64)
    else:
        value = np.asarray(value, np.uint64)
        shift, xor, constant = np.right_shift, np.bitwise_xor, np.uint64
    with np.errstate(over='ignore'):  # Wrapping around is intended.
        value = value + constant(_GAMMA)
        value = xor(value, shift(value, constant(30))) * constant(_MULTIPLIERS[0])
        value = xor(value, shift(value, constant(27))) * constant(_MULTIPLIERS[1])
        return xor(value, shift(value, constant(31)))


def mix_text(text: str) -> int:
    """Hashes text to a Python int of 64 bits, the same in every process."""
    data = text.encode()
    return int(mix(zlib.crc32(data) << 32 | zlib.crc32(data[::-1])))


class ExampleRng:
    """Random numbers for the examples of a batch, or for one example.

    Attributes:
      odd_epoch: bool, shaped like the epochs: whether this is the 2nd, 4th, … epoch.
    """

    def __init__(self, seed: int, epoch: tf.Tensor, index: tf.Tensor):
        """Makes the generator.

        Args:
          seed: seed of the run.
          epoch: int64 tensor [B] or scalar.
          index: int64 tensor like `epoch`: the example's index in the dataset.
        """
        start = int(mix(seed & _MASK))
        key = mix(tf.cast(epoch, tf.uint64) + tf.constant(start, tf.uint64))
        self._key = mix(key + tf.cast(index, tf.uint64))
        self._constant = mix(tf.cast(index, tf.uint64) + tf.constant(start, tf.uint64))
        self.odd_epoch = tf.equal(epoch % 2, 1)

    def constant(self, purpose: str) -> tf.Tensor:
        """Samples from [0, 1), the same in all epochs; see `uniform`."""
        return _bits(self._constant, purpose) * 2.0**-24

    def uniform(
        self, purpose: str | tuple[str, ...], low: Any = 0.0, high: Any = 1.0
    ) -> tf.Tensor:
        """Samples uniformly from [low, high).

        Args:
          purpose: samples for different purposes are independent. Or a tuple of them,
            for one sample each.
          low: lower end.
          high: upper end.

        Returns:
          float32, shaped like the epochs; for a tuple with one more dimension at the
          end.
        """
        if isinstance(purpose, tuple):
            bits = self.ahead(purpose)
        else:
            bits = self._bits(purpose)
        return low + bits * (2.0**-24 * (high - low))

    def integer(self, purpose: str | tuple[str, ...], low: Any, high: Any) -> tf.Tensor:
        """Samples an int32 uniformly from low, ..., high (both included).

        Args:
          purpose: see `uniform`.
          low: smallest value, int32 tensor or int.
          high: largest value, int32 tensor or int.
        """
        count = tf.cast(high - low + 1, tf.float32)
        number = tf.floor(self.uniform(purpose, 0.0, count))
        # A number close to 1 may round up to `high + 1`.
        return low + tf.minimum(tf.cast(number, tf.int32), high - low)

    def ahead(self, purposes: Sequence[str]) -> tf.Tensor:
        """Samples for several purposes at once, for `PrecomputedRng`.

        Args:
          purposes: see `uniform`.

        Returns:
          float32, shaped like the epochs with one more dimension at the end.
        """
        return tf.stack([self._bits(purpose) for purpose in purposes], -1)

    def _bits(self, purpose: str) -> tf.Tensor:
        return _bits(self._key, purpose)


class PrecomputedRng(ExampleRng):
    """Random numbers computed by `ExampleRng.ahead`, with the same interface.

    For one example the hash is 16 operations of some microseconds each, which takes a
    fifth as long as decoding a photo; for 64 examples it takes no longer.
    """

    def __init__(self, purposes: Sequence[str], numbers: tf.Tensor):
        """Makes the generator.

        Args:
          purposes: the argument of `ExampleRng.ahead`.
          numbers: its result, or one row of it.
        """
        self._numbers = dict(zip(purposes, tf.unstack(numbers, axis=-1), strict=True))

    def _bits(self, purpose: str) -> tf.Tensor:
        return self._numbers[purpose]


def _bits(key: tf.Tensor, purpose: str) -> tf.Tensor:
    bits = mix(key + tf.constant(mix_text(purpose), tf.uint64))
    # A float32 represents 24 bits exactly.
    bits = tf.bitwise.right_shift(bits, tf.constant(40, tf.uint64))
    return tf.cast(bits, tf.float32)


def is_validation_example(ids: Any, fraction: float) -> Any:
    """Returns whether examples are held out for validation.

    Args:
      ids: uint64 array [N], or uint64 tensor, that identify the examples independently
        of the rest of the dataset: an example stays in its split when others are added.
      fraction: the fraction to hold out, in [0, 1).

    Returns:
      bool, the same type and shape.
    """
    limit = min(max(int(fraction * 2.0**64), 0), _MASK)
    if isinstance(ids, tf.Tensor):
        salted = tf.bitwise.bitwise_xor(ids, tf.constant(_GAMMA, tf.uint64))
        return mix(salted) < tf.constant(limit, tf.uint64)
    return mix(np.asarray(ids, np.uint64) ^ np.uint64(_GAMMA)) < np.uint64(limit)
