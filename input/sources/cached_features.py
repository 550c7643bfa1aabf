"""Training on what the frozen part of a network has made of each image, once.

The order is that of the images themselves, see `input.sampling.index_shuffle`: what
lies in memory or
in files of its own is drawn as it would be; records in the order of a permutation, too.
"""

import dataclasses
import json
import os

import numpy as np
import tensorflow as tf

from estimator_clf.core.errors import DataError
from input import augment as augmentation
from input.sampling.class_balance import make_order
from input.sampling.index_shuffle import Share
from input.sampling.stateless_random import ExampleRng
from input.sources.array_dataset import with_arrays
from input.sources.base import options
from input.sources.input_wait import timed

#: The files of a directory of features.
ARRAYS = ('features', 'labels', 'keys', 'index')
FACTS = 'facts.json'


@dataclasses.dataclass(frozen=True)
class FeatureSet:
    """The features of a split.

    Attributes:
      features: float32 [V, N, …], by variant (as it is; mirrored) and example.
      labels: integers [N].
      keys: bytes [N].
      index: int64 [N]: what the source calls the examples in its draws.
      image_shape: (height, width, channels) of the images.
    """

    features: np.ndarray
    labels: np.ndarray
    keys: np.ndarray
    index: np.ndarray
    image_shape: tuple

    @classmethod
    def load(cls, directory):
        """Opens a directory; the features stay on the disk, and are read as needed."""
        with open(os.path.join(directory, FACTS), encoding='utf-8') as file:
            shape = tuple(json.load(file)['image_shape'])
        arrays = [
            np.load(os.path.join(directory, f'{name}.npy'), mmap_mode='r')
            for name in ARRAYS
        ]
        features, *others = arrays
        return cls(features, *(np.array(array) for array in others), shape)

    def training_input(
        self,
        batch_size,
        *,
        seed=0,
        start_step=0,
        augment='',
        sampling='natural',
        replicas=1,
        time_input=False,
    ):
        """Makes an input_fn, as `DataSource.input_fn` does for images.

        Returns:
          A function that returns a dataset of (features, labels): features
          {'features': float32 [B, …], 'key': string [B], 'no_image': uint8
          [0, H, W, C], whose shape is that of the images}, labels int32 [B].
        """
        size = len(self.labels)
        if batch_size > size:
            raise DataError(
                f'`batch_size={batch_size}` must not be more than the {size} examples'
            )
        share = Share(batch_size, replicas)
        steps = augmentation.parse(augment)
        check_augment(steps)
        order = make_order(sampling, self.labels, seed)

        @tf.autograph.experimental.do_not_convert
        def input_fn():
            def batch(positions, labels, index, *arrays):
                epochs, rows = order.locate(positions, *arrays)
                variants = tf.zeros_like(rows)
                for _, amount in steps:
                    draw = ExampleRng(seed, epochs, tf.gather(index, rows))
                    variants = tf.cast(draw.uniform('flip') < amount, tf.int64)
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
            dataset = with_arrays(lambda: arrays, arrays, run)
            dataset = dataset.prefetch(tf.data.AUTOTUNE)
            if time_input:
                dataset = timed(dataset)
            return dataset.with_options(options())

        return input_fn

    def beside(self, input_fn):
        """Adds the features to the images of an evaluation, in natural order.

        Args:
          input_fn: of the images, made by `DataSource.input_fn`.

        Returns:
          An input_fn of the same examples, with 'features'. ReadOptions ends with an
          error where they are not those of the features.
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
            return counted.with_options(options())

        return with_features

    def _features(self, variants, rows):
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


def check_augment(steps):
    """Raises DataError for augmentation after which nothing could be used again.

    Args:
      steps: parsed, see `input.augment.parse`.

    Returns:
      The number of variants of an image that there are.
    """
    for name, _ in steps:
        if name != 'flip':
            raise DataError(
                f'`cache_features`: each image goes through the frozen part once, '
                f'and `augment={name}` would make another one of it every time; only '
                'flip can be had, of which both sides are kept'
            )
    return 1 + bool(steps)
