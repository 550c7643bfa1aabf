"""Decoded images in memory: gathered by index, a whole batch at a time."""

import io
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from estimator_clf.core.errors import DataError
from input.augment.mixup_cutmix import BLENDS
from input.augment.parser import parse
from input.dataset_info import DatasetInfo
from input.fingerprint import Identity, identify_arrays, with_counts
from input.sampling.class_balance import make_order
from input.sampling.validation_split import held_out
from input.sources.array_dataset import array_dataset
from input.sources.base import DataSource
from input.sources.pipeline import ReadOptions

Arrays = tuple[np.ndarray, np.ndarray]

# Steps of 100 MNIST images, linear network, on 2 cores: 1,620 a second one by one,
# 3,940 in packs of 8, 3,120 in packs of 32, which no longer fit into a core's cache.
_PACK_STEPS, _PACK_BYTES = 8, 2**21


class ArraySplits:
    """Splits of (inputs, labels) arrays; held-out examples stay in the same arrays."""

    def __init__(
        self,
        name: str,
        arrays: Mapping[str, Arrays],
        validation_split: float = 0.0,
    ):
        """Holds out the validation split.

        Args:
          name: name of the dataset.
          arrays: dict split -> (inputs [N, ...], labels [N]).
          validation_split: fraction of 'train' to hold out as 'validation'.

        Raises:
          DataError: inputs of different shapes, or a split that exists already or would
            be empty.
        """
        shapes = {split: inputs.shape[1:] for split, (inputs, _) in arrays.items()}
        self.shape = next(iter(shapes.values()))
        if set(shapes.values()) != {self.shape}:
            raise DataError(
                f'{name}: all splits must have examples of one shape, got '
                + ', '.join(f'{list(s)} in {split!r}' for split, s in shapes.items())
            )
        self._name = name
        self._arrays = dict(arrays)
        self._identities: dict[str, Identity] = {}  # Of whole arrays.
        # dict split -> (the split that holds its arrays, indices there)
        self._parts = {s: (s, np.arange(len(x))) for s, (x, _) in arrays.items()}
        if validation_split:
            count = len(arrays['train'][0]) if 'train' in arrays else 0
            labels = arrays['train'][1] if count else np.zeros([0], int)
            classes = labels if np.issubdtype(labels.dtype, np.integer) else None
            out = held_out(np.arange(count), validation_split, classes)
            check_validation_split(name, validation_split, arrays, out)
            if out.any():
                self._parts['train'] = ('train', np.flatnonzero(~out))
                self._parts['validation'] = ('train', np.flatnonzero(out))

    @property
    def num_examples(self) -> dict[str, int]:
        """dict split -> number of examples."""
        return {split: len(part) for split, (_, part) in self._parts.items()}

    def read(self, options: ReadOptions, field: str) -> tf.data.Dataset:
        """Returns batches in order, see `DataSource.read`.

        Args:
          options: how the split is read.
          field: name of the inputs in a batch.
        """
        origin, part = self._parts[options.split]
        size, share = len(part), options.share
        inputs, labels = self._arrays[origin]
        order = make_order(options.sampling, labels[part], options.order_seed)

        def gather(positions, inputs, labels, part, *arrays):
            epochs, offsets = order.locate(positions, *arrays)
            indices = tf.gather(part, offsets)
            return {
                field: tf.gather(inputs, indices),
                'label': tf.gather(labels, indices),
                'key': tf.strings.join(
                    [f'{self._name}/{origin}/', tf.strings.as_string(indices)]
                ),
                'epoch': epochs,
                'index': indices,
            }

        def run(*arrays):
            positions = share.position_blocks(
                None if options.training else size, options.start_step, options.pack
            )
            # Autotuning does not reach into a flat_map; two calls are faster than any
            # network.
            return positions.map(
                lambda p: gather(p, *arrays),
                num_parallel_calls=2,
                deterministic=True,
            )

        arrays = inputs, labels, part, *order.arrays()
        return array_dataset(lambda: arrays, arrays, run)

    def steps_per_pack(self, split: str, batch_size: int, augment: str = '') -> int:
        """See `DataSource.steps_per_pack`."""
        if any(name in BLENDS for name, _ in parse(augment)):
            return 1  # They mix the examples of one step's batch.
        inputs = self._arrays[self._parts[split][0]][0]
        fitting = _PACK_BYTES // (batch_size * inputs[0].nbytes)
        # A permutation is computed for two epochs at a time, not for more.
        return max(1, min(_PACK_STEPS, fitting, self.num_examples[split] // batch_size))

    def labels(self, split: str) -> np.ndarray:
        """Returns the labels of a split in natural order."""
        origin, part = self._parts[split]
        return self._arrays[origin][1][part]

    def fingerprint(self, split: str) -> str:
        """Returns a checksum of the examples of a split."""
        origin, part = self._parts[split]
        digest = 0
        for array in (*self._arrays[origin], part):
            digest = zlib.crc32(np.ascontiguousarray(array), digest)
        return str(digest)

    def identity(self, split: str) -> Identity:
        """Identifies the examples of a split by their values."""
        origin, part = self._parts[split]
        inputs, labels = self._arrays[origin]
        if origin not in self._identities:
            self._identities[origin] = identify_arrays(inputs, labels)
        chosen = identify_arrays(part.astype('<i8'), labels[part])
        return {
            'content': f'{self._identities[origin]["content"]} {chosen["content"]}',
            'labels': chosen['labels'],
        }

    def restrict(self, places: Mapping[str, np.ndarray], numbers: np.ndarray) -> None:
        """Retains some examples and renumbers their classes."""
        for split, chosen in places.items():
            origin, part = self._parts[split]
            self._parts[split] = (origin, part[chosen])
        self._arrays = {s: (x, numbers[y]) for s, (x, y) in self._arrays.items()}

    def examples(
        self, split: str, indices: Sequence[int] | None = None
    ) -> Iterator[tuple[str, np.ndarray, int]]:
        """Yields (key, input, label) in natural order."""
        origin, part = self._parts[split]
        inputs, labels = self._arrays[origin]
        for index in part if indices is None else part[np.asarray(indices, np.int64)]:
            yield f'{self._name}/{origin}/{index}', inputs[index], int(labels[index])


class InMemorySource(DataSource):
    """A source whose examples are in memory; subclasses read and check options."""

    def __init__(
        self,
        name: str,
        class_names: Sequence[str],
        splits: ArraySplits,
        info: DatasetInfo | None = None,
    ):
        """Makes the source.

        Args:
          name: see `DataSource`.
          class_names: see `DataSource`.
          splits: the examples.
          info: see `DataSource`.
        """
        self._splits = splits
        super().__init__(name, class_names, splits.shape, info)

    @property
    def num_examples(self) -> dict[str, int]:
        return self._splits.num_examples

    def steps_per_pack(self, split: str, batch_size: int, augment: str = '') -> int:
        return self._splits.steps_per_pack(split, batch_size, augment)

    def set_cache(self, kind: str) -> None:
        """See `DataSource`; has no effect, since the examples are in memory."""

    def labels(self, split: str) -> np.ndarray:
        return self._splits.labels(split)

    def fingerprint(self, split: str) -> str:
        return self._splits.fingerprint(split)


class ArraySource(InMemorySource):
    """Splits of (images, labels) arrays."""

    def __init__(
        self,
        name: str,
        class_names: Sequence[str],
        arrays: Mapping[str, Arrays],
        validation_split: float = 0.0,
        info: DatasetInfo | None = None,
    ):
        """Makes the source.

        Args:
          name: see `DataSource`.
          class_names: see `DataSource`.
          arrays: dict split -> (images uint8 [N, H, W, C], labels int [N]).
          validation_split: fraction of 'train' to hold out as 'validation'.
          info: see `DataSource`.

        Raises:
          DataError: shapes that do not match, labels out of range, a split that exists
            already or would be empty.
        """
        for split, (images, labels) in arrays.items():
            _check_images(name, split, images, labels, len(class_names))
        arrays = {s: (x, y.astype(np.int32)) for s, (x, y) in arrays.items()}
        splits = ArraySplits(name, arrays, validation_split)
        super().__init__(name, class_names, splits, info)

    def read(self, options: ReadOptions) -> tf.data.Dataset:
        """See `DataSource`; 'image', decoded."""
        return self._splits.read(options, 'image')

    def _check_options(self, options: ReadOptions) -> None:
        if options.eval_crop != 1.0:
            raise DataError(
                f'`eval_crop={options.eval_crop}` is for images of any size, in a '
                f'directory or in records; those of {self.name} are in memory in one '
                'size, and are used whole'
            )

    def _identity(self, split: str) -> Identity:
        found = self._splits.identity(split)
        return with_counts(found, self.labels(split), len(self.class_names))

    def _restrict(self, places: Mapping[str, np.ndarray], numbers: np.ndarray) -> None:
        self._splits.restrict(places, numbers)

    def images(
        self, split: str, indices: Sequence[int] | None = None
    ) -> Iterator[tuple[str, np.ndarray, int]]:
        """Yields (key, uint8 [H, W, C], label), as `encoded` does encoded images."""
        self._check_split(split)
        return self._splits.examples(split, indices)

    def encoded(
        self, split: str, indices: Sequence[int] | None = None
    ) -> Iterator[tuple[str, bytes, int]]:
        """See `DataSource`; as PNG."""
        from PIL import Image

        for key, image, label in self.images(split, indices):
            buffer = io.BytesIO()
            if image.shape[-1] == 1:
                image = image[..., 0]
            Image.fromarray(image).save(buffer, 'PNG')
            yield key, buffer.getvalue(), label


def _check_images(
    name: str, split: str, images: np.ndarray, labels: np.ndarray, num_classes: int
) -> None:
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
    invalid = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(invalid):
        raise DataError(
            f'{name}: labels must be from 0 to {num_classes - 1}, got '
            f'{int(labels[invalid[0]])} for example {invalid[0]} of the split {split!r}'
        )


def check_validation_split(
    name: str, fraction: float, splits: Collection[str], out: np.ndarray
) -> None:
    """Raises DataError unless `fraction` of 'train' can become 'validation'.

    Of a few examples none may be held out; then there is no such split.

    Args:
      name: name of the dataset.
      fraction: the requested fraction.
      splits: names of the existing splits.
      out: bool [N], for each training example: held out.
    """
    if not 0.0 <= fraction < 1.0:
        raise DataError(
            f'`validation_split` must be at least 0 and less than 1, got {fraction}'
        )
    if 'validation' in splits:
        raise DataError(
            f'{name} has a validation split already; omit `validation_split`'
        )
    if 'train' not in splits:
        raise DataError(f'{name} has no training split to hold out a part of')
    # Less than a tenth of an example is a mistake rather than a small dataset.
    if out.all() or (not out.any() and fraction * len(out) < 0.1):
        raise DataError(
            f'`validation_split={fraction}` leaves {int((~out).sum())} examples for '
            f'training and {int(out.sum())} for validation; each must be at least 1'
        )
