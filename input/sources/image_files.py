"""Encoded images, a file each: only the names are in memory."""

import math
import os
import zlib

import numpy as np
import tensorflow as tf

from estimator_clf.core.errors import DataError
from input.fingerprint import stamp
from input.images.decode import central_window, whole_window
from input.sampling.class_balance import make_order
from input.sources import image_cache
from input.sources.array_dataset import with_arrays
from input.sources.base import as_numpy_batches
from input.sources.encoded import EncodedSource


class ImageFileSource(EncodedSource):
    """Splits of (paths, labels)."""

    def __init__(self, name, class_names, image_shape, files, info=None):
        """Makes the source.

        Args:
          name: see `DataSource`.
          class_names: see `DataSource`.
          image_shape: (height, width, channels) to bring the images to.
          files: dict split -> (list of paths, int32 array of labels). Names that are
            not UTF-8, as Python's `os` functions give them, are read; in the keys
            U+FFFD stands for what cannot be decoded.
          info: see `DataSource`.
        """
        super().__init__(name, class_names, image_shape, info)
        self._files = files
        self._cache_kind = 'none'
        self._cache = {}  # What is in memory: (split, …) -> arrays.

    def set_cache(self, kind):
        """See `DataSource`; all splits must fit, since each may be read."""
        if kind != 'none':
            what = f'the {sum(self.num_examples.values())} images of {self.name}'
            image_cache.check_room(kind, what, self._size(kind))
        self._cache_kind = kind

    def _size(self, kind):
        """How many bytes the images of all splits take."""
        if kind == 'decoded':
            return sum(self.num_examples.values()) * math.prod(self.image_shape)
        return sum(image_cache.total_size(paths) for paths, _ in self._files.values())

    @property
    def num_examples(self):
        return {split: len(paths) for split, (paths, _) in self._files.items()}

    def _batches(self, reading):
        paths, labels = self._files[reading.split]
        size, share = len(paths), reading.share

        order = make_order(reading.sampling, labels, reading.order_seed)

        # The names as bytes only while they are handed over: there may be millions.
        def files():
            return _as_bytes(paths), labels.astype(np.int32), *order.arrays()

        like = [tf.TensorSpec([size], kind) for kind in (tf.string, tf.int32)]

        contents = None
        if self._cache_kind == 'encoded':
            contents = self._contents(reading.split)
        elif self._cache_kind == 'decoded':
            pixels = self._pixels(reading.split, reading.eval_crop)

        def gather(positions, paths, labels, *arrays):
            epochs, indices = order.locate(positions, *arrays)
            path = tf.gather(paths, indices)
            data = path
            if contents is not None:
                # As one tensor all of them would be copied for every dataset.
                data = tf.numpy_function(contents.take, [indices], tf.string)
                data.set_shape(indices.shape)
            return {
                'data': data,
                'key': _key(path),
                'label': tf.gather(labels, indices),
                'epoch': epochs,
                'index': indices,
            }

        def run(*arrays):
            return share.stretches(
                None if reading.training else size, reading.start_step
            ).map(lambda positions: gather(positions, *arrays))

        batches = with_arrays(files, [*like, *order.arrays()], run)
        if self._cache_kind == 'decoded':
            return self._gathered(batches, reading, *pixels)
        return self._decoded(batches, reading)

    def _gathered(self, batches, reading, pixels, good):
        """Batches of images that are in memory, decoded, in place of their names.

        Args:
          batches: as `_decoded` takes them.
          reading: see `DataSource._batches`.
          pixels: uint8 array [N, H, W, C].
          good: bool array [N]: which of them could be decoded.
        """

        def fill(batch, pixels, good):
            index = batch['index']
            if self.corrupt_images is None:
                rest = {name: batch[name] for name in batch if name != 'data'}
                return dict(rest, image=tf.gather(pixels, index))
            places = tf.where(tf.gather(good, index))[:, 0]
            images = tf.gather(pixels, tf.gather(index, places))
            return self._fill_with_valid(
                reading, batch, tf.cast(places, tf.int32), images
            )

        def run(*arrays):
            return batches.map(
                lambda batch: fill(batch, *arrays),
                num_parallel_calls=2,
                deterministic=True,
            )

        arrays = pixels, good
        result = with_arrays(lambda: arrays, arrays, run)
        if reading.training or self.corrupt_images is None:
            return result
        return result.filter(lambda batch: tf.size(batch['key']) > 0)

    def _contents(self, split):
        """Object array of the bytes of a split's files; reads them once."""
        if split not in self._cache:
            paths = self._files[split][0]

            def note(number, error):
                self.corrupt_images.note(_printable(paths[number]), lambda: str(error))

            self._cache[split] = image_cache.read_files(
                paths, None if self.corrupt_images is None else note
            )
        return self._cache[split]

    def _pixels(self, split, eval_crop):
        """Decodes a split once; (uint8 [N, H, W, C], bool [N]: which could be)."""
        if (split, eval_crop) not in self._cache:
            paths = self._files[split][0]
            shape = (len(paths), *self.image_shape)
            pixels, good = image_cache.aligned(shape), np.zeros([len(paths)], bool)
            aspect = self.image_shape[1] / self.image_shape[0]
            window = central_window(eval_crop, aspect)

            def decode(index, path):
                return index, self.decode(tf.io.read_file(path), _key(path), window)

            def dataset():
                found = _numbered(paths).map(
                    decode, num_parallel_calls=tf.data.AUTOTUNE
                )
                if self.corrupt_images is not None:
                    found = found.ignore_errors(log_warning=False)
                return found.batch(32).prefetch(2)

            for indices, images in as_numpy_batches(dataset):
                pixels[indices], good[indices] = images, True
            self._cache[split, eval_crop] = pixels, good
        return self._cache[split, eval_crop]

    def _pixel_statistics(self):
        # Of a sample, which is no reason to keep all that there is.
        kind, self._cache_kind = self._cache_kind, 'none'
        try:
            return super()._pixel_statistics()
        finally:
            self._cache_kind = kind

    def _check_augment(self, steps):
        super()._check_augment(steps)
        if self._cache_kind == 'decoded' and 'resized_crop' in dict(steps):
            raise DataError(
                '`cache=decoded` cannot be with `augment=resized_crop`, which cuts '
                'another window out of an image each time; take `cache=encoded`'
            )

    def _read(self, data):
        return data if self._cache_kind == 'encoded' else tf.io.read_file(data)

    def labels(self, split):
        return self._files[split][1]

    def fingerprint(self, split):
        paths, labels = self._files[split]
        return f'{stamp(paths)} {zlib.crc32(np.ascontiguousarray(labels))}'

    def _restrict(self, places, numbers):
        for split, chosen in places.items():
            paths, labels = self._files[split]
            paths = [paths[place] for place in chosen]
            self._files[split] = (paths, numbers[labels[chosen]])

    def encoded(self, split, indices=None):
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
                self.corrupt_images.note(key, lambda why=error.strerror: why)
                continue
            yield key, data, int(labels[index])

    def unreadable(self, limit=None):
        bad = []
        for paths, _ in self._files.values():
            good = set()
            for batch in as_numpy_batches(lambda paths=paths: self._readable(paths)):
                good.update(batch.tolist())
            for number, path in enumerate(paths):
                if number not in good:
                    data = os.fsencode(path)
                    if self._cache_kind == 'encoded':
                        (data,) = image_cache.read_files([path], lambda *_: None)
                    bad.append((_printable(path), self._reason(data)))
                    if limit and len(bad) >= limit:
                        return bad
        return bad

    def _readable(self, paths):
        """Dataset of batches of the indices of the images that can be decoded."""

        def attempt(index, path):
            image = self._decode_whole(path)
            with tf.control_dependencies([image]):
                return tf.identity(index)

        dataset = _numbered(paths).map(attempt, num_parallel_calls=tf.data.AUTOTUNE)
        return dataset.ignore_errors().batch(256)

    def _decode_whole(self, path):
        """Decodes all of an image: damage may lie outside the middle."""
        return self.decode(tf.io.read_file(path), _key(path), whole_window)


def _numbered(paths):
    return tf.data.Dataset.from_tensor_slices((np.arange(len(paths)), _as_bytes(paths)))


def _as_bytes(paths):
    return np.array([os.fsencode(path) for path in paths], dtype=object)


def _key(path):
    return tf.strings.unicode_transcode(path, 'UTF-8', 'UTF-8')


def _printable(path):
    return os.fsencode(path).decode('utf-8', 'replace')
