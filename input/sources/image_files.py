"""Encoded images in files of their own: only their names are in memory."""

import functools
import math
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from estimator_clf.core.errors import DataError
from input.dataset_info import DatasetInfo
from input.fingerprint import (
    Identity,
    fingerprint_files,
    identify_files,
    with_counts,
)
from input.images.decode import central_window, whole_window
from input.sampling.class_balance import make_order
from input.sources import image_cache
from input.sources.array_dataset import array_dataset
from input.sources.base import DataSource, as_numpy_batches
from input.sources.encoded import format_unreadable, why_unreadable
from input.sources.pipeline import ReadOptions, fill_with_valid, without_empty

Files = tuple[list[str], np.ndarray]


class ImageFileSource(DataSource):
    """Splits of (paths, labels)."""

    def __init__(
        self,
        name: str,
        class_names: Sequence[str],
        image_shape: Sequence[int],
        files: Mapping[str, Files],
        info: DatasetInfo | None = None,
    ):
        """Makes the source.

        Args:
          name: see `DataSource`.
          class_names: see `DataSource`.
          image_shape: (height, width, channels) that images are resized to.
          files: dict split -> (paths, labels int32 [N]). Names that are not UTF-8, as
            Python's `os` functions return them, are read; in the keys U+FFFD stands for
            what cannot be decoded.
          info: see `DataSource`.
        """
        super().__init__(name, class_names, image_shape, info)
        self._files = dict(files)
        self._cache_kind = 'none'
        # (split, ...) -> arrays, filled when they are first read.
        self._cache: dict[Any, Any] = {}

    @property
    def num_examples(self) -> dict[str, int]:
        return {split: len(paths) for split, (paths, _) in self._files.items()}

    def read(self, options: ReadOptions) -> tf.data.Dataset:
        """See `DataSource`; 'path', with a cache 'data' or 'image'."""
        split = options.split
        paths, labels = self._files[split]
        size, share = len(paths), options.share
        cache = self._cache_kind if options.use_cache else 'none'
        contents = self._contents(split) if cache == 'encoded' else None
        order = make_order(options.sampling, labels, options.order_seed)

        # The names as bytes only while they are passed on: there may be millions.
        def load():
            return _as_bytes(paths), labels.astype(np.int32), *order.arrays()

        def gather(positions, paths, labels, *arrays):
            epochs, indices = order.locate(positions, *arrays)
            path = tf.gather(paths, indices)
            where = {'path': path}
            if contents is not None:
                # As one tensor all of them would be copied for every dataset.
                data = tf.numpy_function(contents.take, [indices], tf.string)
                data.set_shape(indices.shape)
                where = {'data': data}
            return {
                **where,
                'key': _key(path),
                'label': tf.gather(labels, indices),
                'epoch': epochs,
                'index': indices,
            }

        def run(*arrays):
            return share.position_blocks(
                None if options.training else size, options.start_step
            ).map(lambda positions: gather(positions, *arrays))

        like = [tf.TensorSpec([size], dtype) for dtype in (tf.string, tf.int32)]
        batches = array_dataset(load, [*like, *order.arrays()], run)
        if cache == 'decoded':
            return self._with_cached_pixels(batches, options)
        return batches

    def _with_cached_pixels(
        self, batches: tf.data.Dataset, options: ReadOptions
    ) -> tf.data.Dataset:
        """Adds the pixels of images that were decoded earlier, in place of 'path'."""
        arrays = self._pixels(options.split, options.eval_crop)

        def fill(batch, pixels, valid):
            index = batch['index']
            if self.corrupt_images is None:
                rest = {name: batch[name] for name in batch if name != 'path'}
                return dict(rest, image=tf.gather(pixels, index))
            places = tf.where(tf.gather(valid, index))[:, 0]
            images = tf.gather(pixels, tf.gather(index, places))
            return fill_with_valid(
                batch,
                tf.cast(places, tf.int32),
                images,
                options,
                self.image_shape,
                self.corrupt_images,
            )

        def run(*arrays):
            return batches.map(
                lambda batch: fill(batch, *arrays),
                num_parallel_calls=2,
                deterministic=True,
            )

        result = array_dataset(lambda: arrays, arrays, run)
        if options.training or self.corrupt_images is None:
            return result
        return without_empty(result)

    def _check_options(self, options: ReadOptions) -> None:
        if self._cache_kind == 'decoded' and 'resized_crop' in dict(
            options.augment_ops
        ):
            raise DataError(
                '`cache=decoded` cannot be combined with `augment=resized_crop`, which '
                'crops another window of an image each time; use `cache=encoded`'
            )

    def set_cache(self, kind: str) -> None:
        """See `DataSource`; all splits must fit, since each may be read."""
        if kind != 'none':
            what = f'the {sum(self.num_examples.values())} images of {self.name}'
            image_cache.check_fits(kind, what, self._cached_bytes(kind))
        self._cache_kind = kind

    def _cached_bytes(self, kind: str) -> int:
        if kind == 'decoded':
            return sum(self.num_examples.values()) * math.prod(self.image_shape)
        return sum(image_cache.total_size(paths) for paths, _ in self._files.values())

    def _contents(self, split: str) -> np.ndarray:
        """Returns the bytes of a split's files, object [N]; reads them once."""
        if split not in self._cache:
            paths = self._files[split][0]
            corrupt_images = self.corrupt_images
            note: Callable[[int, OSError], None] | None = None
            if corrupt_images is not None:

                def note(number, error):
                    corrupt_images.note(_printable(paths[number]), lambda: str(error))

            self._cache[split] = image_cache.read_files(paths, note)
        return self._cache[split]

    def _pixels(self, split: str, eval_crop: float) -> tuple[np.ndarray, np.ndarray]:
        """Decodes a split once.

        Returns:
          (pixels uint8 [N, H, W, C], bool [N]: which images are valid).
        """
        if (split, eval_crop) not in self._cache:
            paths = self._files[split][0]
            shape = (len(paths), *self.image_shape)
            pixels, valid = image_cache.aligned(shape), np.zeros([len(paths)], bool)
            window = central_window(
                eval_crop, self.image_shape[1] / self.image_shape[0]
            )

            def decode(index, path):
                return index, self.decode(tf.io.read_file(path), _key(path), window)

            def dataset():
                decoded = _numbered(paths).map(
                    decode, num_parallel_calls=tf.data.AUTOTUNE
                )
                if self.corrupt_images is not None:
                    decoded = decoded.ignore_errors(log_warning=False)
                return decoded.batch(32).prefetch(2)

            for indices, images in as_numpy_batches(dataset):
                pixels[indices], valid[indices] = images, True
            self._cache[split, eval_crop] = pixels, valid
        return self._cache[split, eval_crop]

    def labels(self, split: str) -> np.ndarray:
        return self._files[split][1]

    def fingerprint(self, split: str) -> str:
        paths, labels = self._files[split]
        return f'{fingerprint_files(paths)} {zlib.crc32(np.ascontiguousarray(labels))}'

    def _identity(self, split: str) -> Identity:
        paths, labels = self._files[split]
        found = identify_files(paths, labels.astype('<i4'))
        return with_counts(found, labels, len(self.class_names))

    def _restrict(self, places: Mapping[str, np.ndarray], numbers: np.ndarray) -> None:
        for split, chosen in places.items():
            paths, labels = self._files[split]
            paths = [paths[place] for place in chosen]
            self._files[split] = (paths, numbers[labels[chosen]])

    def encoded(
        self, split: str, indices: Sequence[int] | None = None
    ) -> Iterator[tuple[str, bytes, int]]:
        self._check_split(split)
        paths, labels = self._files[split]
        for index in range(len(paths)) if indices is None else indices:
            key = _printable(paths[index])
            try:
                with open(paths[index], 'rb') as file:
                    data = file.read()
            except OSError as error:
                if self.corrupt_images is None:
                    raise
                reason = error.strerror or str(error)
                self.corrupt_images.note(key, functools.partial(str, reason))
                continue
            yield key, data, int(labels[index])

    def explain(self, error: BaseException) -> str | None:
        del error
        if self.corrupt_images and self.corrupt_images.stopped_by:
            return self.corrupt_images.stopped_by
        return format_unreadable(self.unreadable(limit=10), 10)

    def unreadable(self, limit: int | None = None) -> list[tuple[str, str]]:
        """Decodes every image and lists those that cannot be decoded.

        Args:
          limit: stop after so many.

        Returns:
          List of (path, reason).
        """
        found = []
        for paths, _ in self._files.values():
            valid = set()
            for batch in as_numpy_batches(functools.partial(self._decodable, paths)):
                valid.update(batch.tolist())
            for number, path in enumerate(paths):
                if number not in valid:
                    example = {'path': os.fsencode(path)}
                    reason = why_unreadable(example, self.image_shape)
                    found.append((_printable(path), reason))
                    if limit and len(found) >= limit:
                        return found
        return found

    def _decodable(self, paths: Sequence[str]) -> tf.data.Dataset:
        """Returns batches of the indices of the images that can be decoded."""

        def attempt(index, path):
            # All of it: the corrupt part may be outside the central window.
            image = self.decode(tf.io.read_file(path), _key(path), whole_window)
            with tf.control_dependencies([image]):
                return tf.identity(index)

        dataset = _numbered(paths).map(attempt, num_parallel_calls=tf.data.AUTOTUNE)
        return dataset.ignore_errors().batch(256)


def _numbered(paths: Sequence[str]) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((np.arange(len(paths)), _as_bytes(paths)))


def _as_bytes(paths: Sequence[str]) -> np.ndarray:
    return np.array([os.fsencode(path) for path in paths], dtype=object)


def _key(path: tf.Tensor) -> tf.Tensor:
    return tf.strings.unicode_transcode(path, 'UTF-8', 'UTF-8')


def _printable(path: str) -> str:
    return os.fsencode(path).decode('utf-8', 'replace')
