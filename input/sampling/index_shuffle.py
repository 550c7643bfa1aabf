"""Example order as a pure function of (seed, epoch, step).

A run is a sequence of positions 0, 1, 2, ...; position p belongs to epoch p // n, and
inside an epoch the examples follow a permutation of all n indices that is computed, not
buffered. Step s with batch size B takes positions s·B to (s+1)·B - 1. So the examples
of a resumed run follow from its step; nothing has to be saved, and nothing read twice.
"""

import functools
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from input.sampling.stateless_random import mix


def epoch_seed(seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Returns the seeds, uint64 [..., 2], of the permutations of epochs, int64 [...].

    Hashed: from small numbers such as (0, 1), (0, 2), … `index_shuffle` makes
    permutations that prefer some places to others, by a chi-square test of 3,000
    epochs of 50 examples 50 standard deviations away from chance; from these, 1.
    """
    start = tf.constant(int(mix(seed & 0xFFFFFFFFFFFFFFFF)), tf.uint64)
    key = mix(tf.cast(epoch, tf.uint64) + start)
    return tf.stack([key, mix(key)], -1)


def locate(
    positions: tf.Tensor, num_examples: int, seed: int | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes epoch and index of the examples at some positions.

    Args:
      positions: int64, of any shape.
      num_examples: n >= 1, the number of examples of an epoch.
      seed: seed of the permutations, or None for the natural order.

    Returns:
      (epochs, indices): int64, shaped like `positions`.
    """
    epochs = positions // num_examples
    offsets = positions % num_examples
    if seed is None:
        return epochs, offsets
    seeds = epoch_seed(seed, epochs)
    # The op of `tf.random.experimental.index_shuffle`, which does not accept a seed for
    # each index though its documentation claims it (it pads the wrong axis, 2.15 to
    # 2.21); with the constant that it pads the seeds with.
    padding = tf.zeros_like(seeds[..., :1]) + tf.constant(498247692, tf.uint64)
    seeds = tf.concat([padding, seeds], -1)
    return epochs, shuffled(offsets, seeds, num_examples, [num_examples])


# Of so many elements TensorFlow's op (2.15 to 2.21) never returns the last: it counts
# the bits of the largest index by its logarithm, and uses an even number of at least
# 16.
_UNFIT = tuple(2**bits + 1 for bits in range(16, 62, 2))


def shuffled(
    indices: tf.Tensor, seeds: tf.Tensor, count: tf.Tensor | int, known: Iterable[int]
) -> tf.Tensor:
    """Permutes the numbers below a count; each seed has a permutation of its own.

    Args:
      indices: int64 [...], from 0 to count - 1.
      seeds: uint64 [..., 3].
      count: int or int64 [...].
      known: all values that the counts may have.

    Returns:
      int64 [...], from 0 to count - 1.
    """
    count = tf.convert_to_tensor(count, tf.int64)
    permuted = functools.partial(tf.raw_ops.RandomIndexShuffle, seed=seeds, rounds=4)
    if not set(_UNFIT) & {int(number) for number in known}:
        return permuted(index=indices, max_index=count - 1)
    # A permutation of one more element: the index that it maps to that element is
    # mapped on to where that element is.
    unfit = tf.reduce_any(count[..., None] == tf.constant(_UNFIT, tf.int64), -1)
    largest = tf.where(unfit, count, count - 1)
    found = permuted(index=indices, max_index=largest)
    again = permuted(index=found, max_index=largest)
    return tf.where(found < count, found, again)


class Share:
    """The share of each batch that one worker, and each of its replicas, reads.

    Attributes:
      batch_size: examples per step, over all workers and replicas.
      block: examples per step and replica.
      per_step: blocks per step of this worker.
    """

    def __init__(
        self, batch_size: int, replicas: int = 1, worker: int = 0, num_workers: int = 1
    ):
        """Makes a share.

        Args:
          batch_size: examples per step, over all workers and replicas.
          replicas: devices per worker (MirroredStrategy); each takes a block of its
            own, one after the other.
          worker: index of this worker.
          num_workers: number of workers.

        Raises:
          ValueError: the batch does not divide evenly.
        """
        if batch_size % (replicas * num_workers):
            raise ValueError(
                f'`batch_size={batch_size}` must be a multiple of the number of '
                f'replicas, {replicas * num_workers}'
            )
        self.batch_size = batch_size
        self.block = batch_size // (replicas * num_workers)
        self.per_step = replicas
        self._worker = worker

    def positions(self, block: tf.Tensor, count: int = 1) -> tf.Tensor:
        """Returns the positions, int64 [count * block size], of a block of the worker.

        Args:
          block: its number, int64 scalar.
          count: number of blocks, starting with it; more than 1 only with one device
            on one worker.
        """
        step, replica = block // self.per_step, block % self.per_step
        start = step * self.batch_size + (
            (self._worker * self.per_step + replica) * self.block
        )
        return start + tf.range(count * self.block, dtype=tf.int64)

    def position(self, example: tf.Tensor) -> tf.Tensor:
        """Returns the position of the worker's n-th example, all blocks in a row.

        Args:
          example: n, int64 of any shape.
        """
        block, place = example // self.block, example % self.block
        step, replica = block // self.per_step, block % self.per_step
        first = self._worker * self.per_step * self.block
        return step * self.batch_size + first + replica * self.block + place

    def position_blocks(
        self, size: int | None = None, start_step: int = 0, count: int = 1
    ) -> tf.data.Dataset:
        """Makes a dataset of positions, int64 [b], one element per batch.

        Args:
          size: number of examples, read once in natural order; None: endless.
          start_step: the first step, if endless.
          count: see `positions`, if endless.
        """
        if size is None:
            first = start_step * self.per_step
            blocks = tf.data.Dataset.range(first, np.iinfo(np.int64).max, count)
            return blocks.map(lambda block: self.positions(block, count))
        starts = tf.data.Dataset.range(0, size, self.block)
        return starts.map(
            lambda start: tf.range(start, tf.minimum(start + self.block, size))
        )

    def contains(self, position: tf.Tensor) -> tf.Tensor:
        """Returns whether the example at a position is this worker's, bool."""
        per_worker = self.per_step * self.block
        return tf.equal((position % self.batch_size) // per_worker, self._worker)
