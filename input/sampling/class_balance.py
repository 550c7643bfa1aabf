"""Class-balanced sampling, for data with few examples of some classes.

`balanced` samples each class equally often, `sqrt` in proportion to the square root of
its number of examples, which is half-way. Both are, like the natural order, a function
of (seed, position) and nothing else, see `input.sampling.index_shuffle`.
"""

from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from input.sampling.index_shuffle import locate, shuffled
from input.sampling.stateless_random import mix, mix_text

SAMPLINGS = ('natural', 'balanced', 'sqrt')

_MASK = (1 << 64) - 1


class Order(Protocol):
    """The example at each position of a run, as a computation."""

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Returns arrays that the caller feeds into the graph."""

    def locate(self, positions: tf.Tensor, *arrays: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns (epochs, indices), as `input.sampling.index_shuffle.locate` does.

        No (epoch, index) occurs twice.

        Args:
          positions: int64, of any shape.
          *arrays: `arrays()` as tensors.
        """


def make_order(sampling: str, labels: np.ndarray, seed: int | None) -> Order:
    """Makes the order in which the examples of a split are read.

    Args:
      sampling: a name in `SAMPLINGS`.
      labels: integers [N], the class of each example.
      seed: seed of the order; None for the natural order, once or repeatedly.
    """
    if sampling == 'natural' or seed is None:
        return _Natural(len(labels), seed)
    return _ByClass(sampling, labels, seed)


class _Natural:
    """Every example once per epoch."""

    def __init__(self, num_examples: int, seed: int | None):
        self._num_examples, self._seed = num_examples, seed

    def arrays(self) -> tuple[np.ndarray, ...]:
        return ()

    def locate(self, positions: tf.Tensor, *arrays: Any) -> tuple[tf.Tensor, tf.Tensor]:
        del arrays
        return locate(positions, self._num_examples, self._seed)


class _ByClass:
    """Each class as often as its quota, its examples by one permutation after another.

    The run repeats a fixed round of about N samples. In it the samples of a class are
    evenly spaced (the j-th of q somewhere in the j-th of q equal parts), so that a
    short interval also has the classes in their proportion. The n-th sample of a class,
    counted over all rounds, is number n % c of the (n // c)-th permutation of its c
    examples: no example is repeated before all others of its class were sampled.
    """

    def __init__(self, sampling: str, labels: np.ndarray, seed: int):
        labels = np.asarray(labels, np.int64)
        counts = np.bincount(labels)
        weights = np.sign(counts) if sampling == 'balanced' else np.sqrt(counts)
        quotas = np.round(len(labels) * weights / weights.sum()).astype(np.int64)
        quotas = np.where(counts > 0, np.maximum(quotas, 1), 0)
        classes = np.repeat(np.arange(len(counts)), quotas)
        ranks = np.concatenate([np.arange(quota) for quota in quotas])
        salt = np.uint64(mix_text(f'sampling {seed}'))
        jitter = mix(mix(classes.astype(np.uint64) ^ salt) + ranks.astype(np.uint64))
        times = (ranks + jitter / 2.0**64) / quotas[classes]
        order = np.argsort(times, kind='stable')
        self._arrays = (
            classes[order],
            ranks[order],
            quotas,
            counts.astype(np.int64),
            np.cumsum(counts) - counts,  # Where a class begins in the next array:
            np.argsort(labels, kind='stable'),
        )
        self._start = int(mix(seed & _MASK))

    def arrays(self) -> tuple[np.ndarray, ...]:
        return self._arrays

    def locate(self, positions: tf.Tensor, *arrays: Any) -> tuple[tf.Tensor, tf.Tensor]:
        classes, ranks, quotas, counts, starts, members = arrays
        length = len(self._arrays[0])
        rounds, place = positions // length, positions % length
        number = tf.gather(classes, place)
        sample = rounds * tf.gather(quotas, number) + tf.gather(ranks, place)
        count = tf.gather(counts, number)
        epochs, offsets = sample // count, sample % count
        key = mix(tf.cast(epochs, tf.uint64) + tf.constant(self._start, tf.uint64))
        key = mix(key + tf.cast(number, tf.uint64))
        seeds = tf.stack([key, mix(key), mix(mix(key))], -1)
        offsets = shuffled(offsets, seeds, count, self._arrays[3])
        return epochs, tf.gather(members, tf.gather(starts, number) + offsets)
