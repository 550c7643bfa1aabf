"""Images that lie in memory, decoded: gathered by index, a whole batch at a time."""

import io
import zlib

import numpy as np
import tensorflow as tf

from estimator_clf.core.errors import DataError
from input.augment.mixup_cutmix import BLENDS
from input.augment.parser import parse
from input.sampling.class_balance import make_order
from input.sampling.stateless_random import is_validation_example
from input.sources.array_dataset import with_arrays
from input.sources.base import DataSource

# Steps of 100 MNIST images, linear network, on 2 cores: 1,620 a second one by one,
# 3,940 in packs of 8, 3,120 in packs of 32, which no longer fit into a core's cache.
_PACK_STEPS, _PACK_BYTES = 8, 2**21


class ArraySource(DataSource):
    """Splits of (images, labels) arrays."""

    _LABEL = np.int32

    def __init__(self, name, class_names, arrays, validation_split=0.0, info=None):
        """Makes the source.

        Args:
          name: see `DataSource`.
          class_names: see `DataSource`.
          arrays: dict split -> (images uint8 [N, H, W, C], labels int [N]).
          validation_split: share of 'train' to hold out as 'validation'.
          info: see `DataSource`.

        Raises:
          DataError: shapes that do not fit, labels out of range, a split that is
            there already or would be empty.
        """
        for split, (images, labels) in arrays.items():
            self._check(name, split, images, labels, len(class_names))
        shapes = {split: images.shape[1:] for split, (images, _) in arrays.items()}
        shape = next(iter(shapes.values()))
        if set(shapes.values()) != {shape}:
            raise DataError(
                f'{name}: all splits must have examples of one shape, got '
                + ', '.join(f'{list(s)} in {split!r}' for split, s in shapes.items())
            )
        super().__init__(name, class_names, shape, info)
        self._arrays = {s: (x, y.astype(self._LABEL)) for s, (x, y) in arrays.items()}
        # dict split -> (the split that holds its arrays, indices there)
        self._parts = {s: (s, np.arange(len(x))) for s, (x, _) in arrays.items()}
        if validation_split:
            count = len(arrays['train'][0]) if 'train' in arrays else 0
            out = is_validation_example(np.arange(count), validation_split)
            check_validation_split(name, validation_split, arrays, out)
            self._parts['train'] = ('train', np.flatnonzero(~out))
            self._parts['validation'] = ('train', np.flatnonzero(out))

    @property
    def num_examples(self):
        return {split: len(part[1]) for split, part in self._parts.items()}

    def _batches(self, reading):
        origin, part = self._parts[reading.split]
        size, share = len(part), reading.share
        images, labels = self._arrays[origin]
        order = make_order(reading.sampling, labels[part], reading.order_seed)

        def gather(positions, images, labels, part, *arrays):
            epochs, offsets = order.locate(positions, *arrays)
            indices = tf.gather(part, offsets)
            return {
                'image': tf.gather(images, indices),
                'label': tf.gather(labels, indices),
                'key': tf.strings.join(
                    [f'{self.name}/{origin}/', tf.strings.as_string(indices)]
                ),
                'epoch': epochs,
                'index': indices,
            }

        def run(*arrays):
            positions = share.stretches(
                None if reading.training else size, reading.start_step, reading.pack
            )
            # Tuning does not reach into a flat_map; two keep ahead of any network.
            return positions.map(
                lambda p: gather(p, *arrays),
                num_parallel_calls=2,
                deterministic=True,
            )

        arrays = images, labels, part, *order.arrays()
        return with_arrays(lambda: arrays, arrays, run)

    def _check_eval_crop(self, eval_crop):
        super()._check_eval_crop(eval_crop)
        if eval_crop != 1.0:
            raise DataError(
                f'`eval_crop={eval_crop}` is for images of their natural size, in a '
                f'directory or in records; those of {self.name} lie in memory in one '
                f'size, and are taken whole'
            )

    def steps_per_pack(self, split, batch_size, augment=''):
        if any(name in BLENDS for name, _ in parse(augment)):
            return 1  # Whose examples have partners in their own batch.
        images = self._arrays[self._parts[split][0]][0]
        fitting = _PACK_BYTES // (batch_size * images[0].nbytes)
        # A permutation is computed for two epochs at a time, not for more.
        return max(1, min(_PACK_STEPS, fitting, self.num_examples[split] // batch_size))

    def set_cache(self, kind):
        """See `DataSource`; they are in memory, decoded, whatever is said."""

    def labels(self, split):
        origin, part = self._parts[split]
        return self._arrays[origin][1][part]

    def fingerprint(self, split):
        origin, part = self._parts[split]
        images, labels = self._arrays[origin]
        digest = 0
        for array in (images, labels, part):
            digest = zlib.crc32(np.ascontiguousarray(array), digest)
        return str(digest)

    def _restrict(self, places, numbers):
        for split, kept in places.items():
            origin, part = self._parts[split]
            self._parts[split] = (origin, part[kept])
        self._arrays = {s: (x, numbers[y]) for s, (x, y) in self._arrays.items()}

    def pictures(self, split, indices=None):
        """Yields (key, uint8 [H, W, C], label), as `encoded` does encoded ones."""
        self._check_split(split)
        origin, part = self._parts[split]
        images, labels = self._arrays[origin]
        for index in part if indices is None else part[np.asarray(indices, np.int64)]:
            yield f'{self.name}/{origin}/{index}', images[index], int(labels[index])

    def encoded(self, split, indices=None):
        from PIL import Image

        for key, picture, label in self.pictures(split, indices):
            buffer = io.BytesIO()
            if picture.shape[-1] == 1:
                picture = picture[..., 0]
            Image.fromarray(picture).save(buffer, 'PNG')
            yield key, buffer.getvalue(), label

    @staticmethod
    def _check(name, split, images, labels, num_classes):
        if (
            images.dtype != np.uint8
            or images.ndim != 4
            or images.shape[-1] not in (1, 3)
            or 0 in images.shape[1:]
        ):
            raise DataError(
                f'{name}: images must be uint8 [N, height, width, 1 or 3], values 0 to '
                f'255, got {images.dtype} {list(images.shape)}'
            )
        if labels.ndim != 1 or len(images) != len(labels):
            raise DataError(
                f'{name}: the split {split!r} has {len(images)} images but labels of '
                f'shape {list(labels.shape)}'
            )
        if not len(images):
            raise DataError(f'{name}: the split {split!r} is empty')
        bad = np.flatnonzero((labels < 0) | (labels >= num_classes))
        if len(bad):
            raise DataError(
                f'{name}: labels must be from 0 to {num_classes - 1}, got '
                f'{int(labels[bad[0]])} for example {bad[0]} of the split {split!r}'
            )


def check_validation_split(name, fraction, splits, out):
    """Raises DataError unless `fraction` of 'train' can become 'validation'.

    Args:
      name: name of the dataset.
      fraction: the share asked for.
      splits: names of the splits that are there.
      out: bool array over the training examples: held out.
    """
    if not 0.0 <= fraction < 1.0:
        raise DataError(
            f'`validation_split` must be at least 0 and less than 1, got {fraction}'
        )
    if 'validation' in splits:
        raise DataError(
            f'{name} has a validation split already; leave `validation_split` out'
        )
    if 'train' not in splits:
        raise DataError(f'{name} has no training split to hold out a part of')
    if out.all() or not out.any():
        raise DataError(
            f'`validation_split={fraction}` leaves {int((~out).sum())} examples to '
            f'train on and {int(out.sum())} to validate; each must be at least 1'
        )
