"""Features of the frozen backbone, computed once per image, as training input.

The order is that of the images themselves, see `input.sampling.index_shuffle`; records
are also read in the order of a permutation.
"""

import dataclasses
import json
import os
from typing import Any

import numpy as np
import tensorflow as tf

from estimator_clf.core.errors import DataError
from input import augment as augmentation
from input.sampling.class_balance import make_order
from input.sampling.index_shuffle import Share
from input.sampling.stateless_random import ExampleRng
from input.sources.array_dataset import array_dataset
from input.sources.base import InputFn
from input.sources.input_wait import timed
from input.sources.pipeline import AugmentOps, dataset_options

#: The files of a directory of features.
ARRAYS = ('features', 'labels', 'keys', 'index')
FACTS = 'facts.json'


@dataclasses.dataclass(frozen=True)
class FeatureSet:
    """The features of a split.

    Attributes:
      features: float32 [V, N, ...], by variant (original; mirrored) and example.
      labels: integers [N].
      keys: bytes [N].
      index: int64 [N]: the indices of the examples in the source, which determine their
        random numbers.
      image_shape: (height, width, channels) of the images.
    """

    features: np.ndarray
    labels: np.ndarray
    keys: np.ndarray
    index: np.ndarray
    image_shape: tuple[int, ...]

    @classmethod
    def load(cls, directory: str) -> 'FeatureSet':
        """Opens a directory; the features stay on disk and are read as needed."""
        with open(os.path.join(directory, FACTS), encoding='utf-8') as file:
            shape = tuple(json.load(file)['image_shape'])
        features, labels, keys, index = (
            np.load(os.path.join(directory, f'{name}.npy'), mmap_mode='r')
            for name in ARRAYS
        )
        return cls(features, np.array(labels), np.array(keys), np.array(index), shape)

    def training_input(
        self,
        batch_size: int,
        *,
        seed: int = 0,
        start_step: Any = 0,
        augment: str = '',
        sampling: str = 'natural',
        replicas: int = 1,
        time_input: bool = False,
    ) -> InputFn:
        """Makes an input_fn, as `DataSource.input_fn` does for images.

        Args:
          batch_size: see `DataSource.input_fn`, also for the others.
          seed: seed of order and augmentation.
          start_step: the first step, or a function that returns it.
          augment: 'flip' or nothing.
          sampling: how often each class is sampled.
          replicas: devices of this worker.
          time_input: adds the feature 'input_wait'.

        Returns:
          A function that returns a dataset of (features, labels): features
          {'features': float32 [B, ...], 'key': string [B], 'no_image': uint8
          [0, H, W, C], whose shape is that of the images}, labels int32 [B].
        """
        share = Share(batch_size, replicas)
        ops = augmentation.parse(augment)
        check_augment(ops)
        order = make_order(sampling, self.labels, seed)

        @tf.autograph.experimental.do_not_convert
        def input_fn():
            def batch(positions, labels, index, *arrays):
                epochs, rows = order.locate(positions, *arrays)
                variants = tf.zeros_like(rows)
                for _, amount in ops:
                    rng = ExampleRng(seed, epochs, tf.gather(index, rows))
                    variants = tf.cast(rng.uniform('flip') < amount, tf.int64)
                return self._features(variants, rows), tf.gather(labels, rows)

            def run(*arrays):
                first = start_step() if callable(start_step) else start_step
                blocks = tf.data.Dataset.range(
                    int(first) * share.per_step, np.iinfo(np.int64).max
                )
                return blocks.map(
                    lambda block: batch(share.positions(block), *arrays),
                    num_parallel_calls=2,
                    deterministic=True,
                )

            arrays = self.labels.astype(np.int32), self.index, *order.arrays()
            dataset = array_dataset(lambda: arrays, arrays, run)
            dataset = dataset.prefetch(tf.data.AUTOTUNE)
            if time_input:
                dataset = timed(dataset)
            return dataset.with_options(dataset_options())

        return input_fn

    def add_to(self, input_fn: InputFn) -> InputFn:
        """Adds the features to the images of an evaluation, in natural order.

        Args:
          input_fn: an input_fn of the images, made by `DataSource.input_fn`.

        Returns:
          An input_fn of the same examples, with 'features'. Reading raises an error if
          they are not the examples of the features.
        """

        @tf.autograph.experimental.do_not_convert
        def with_features():
            def add(first, element):
                features, labels = element
                rows = first + tf.range(tf.size(labels), dtype=tf.int64)
                found = self._features(tf.zeros_like(rows), rows)
                same = tf.reduce_all(tf.equal(found['key'], features['key']))
                message = 'the images are not those of `cache_features` any more'
                with tf.control_dependencies([tf.debugging.Assert(same, [message])]):
                    found = tf.identity(found['features'])
                return dict(features, features=found), labels

            dataset = input_fn()
            counted = dataset.scan(
                tf.constant(0, tf.int64),
                lambda first, element: (
                    first + tf.size(element[1], tf.int64),
                    add(first, element),
                ),
            )
            return counted.with_options(dataset_options())

        return with_features

    def _features(self, variants: tf.Tensor, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        def pick(variants, rows):
            rows = np.minimum(rows, len(self.labels) - 1)
            picked = np.ascontiguousarray(self.features[variants, rows])
            return picked, self.keys[rows].astype(object)

        features, keys = tf.numpy_function(
            pick, [variants, rows], [tf.float32, tf.string]
        )
        features.set_shape([rows.shape[0], *self.features.shape[2:]])
        keys.set_shape(rows.shape)
        nothing = tf.zeros([0, *self.image_shape], tf.uint8)
        return {'features': features, 'key': keys, 'no_image': nothing}


def check_augment(ops: AugmentOps) -> int:
    """Checks that the features of augmented images can be cached.

    Args:
      ops: parsed augmentation, see `input.augment.parse`.

    Returns:
      The number of variants of an image.

    Raises:
      DataError: augmentation with more than two variants of an image.
    """
    for name, _ in ops:
        if name != 'flip':
            raise DataError(
                f'`cache_features` computes the features of each image once, and '
                f'`augment={name}` would change the image every time; only flip can '
                'be cached, as two variants'
            )
    return 1 + bool(ops)
