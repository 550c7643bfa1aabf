"""Encoded pictures, a file each: only the names are in memory."""

import os

import numpy as np
import tensorflow as tf

from input.decode import whole_window
from input.encoded_source import EncodedSource
from input.sampling import make_order
from input.source import iterate


class FileSource(EncodedSource):
    """Splits of (paths, labels)."""

    def __init__(self, name, class_names, image_shape, files, info=None):
        """Makes the source.

        Args:
          name: see `Source`.
          class_names: see `Source`.
          image_shape: (height, width, channels) to bring the pictures to.
          files: dict split -> (list of paths, int32 array of labels). Names that are
            not UTF-8, as Python's `os` functions give them, are read; in the keys
            U+FFFD stands for what cannot be decoded.
          info: see `Source`.
        """
        super().__init__(name, class_names, image_shape, info)
        self._files = files

    @property
    def num_examples(self):
        return {split: len(paths) for split, (paths, _) in self._files.items()}

    def _batches(self, reading):
        paths, labels = self._files[reading.split]
        size, share = len(paths), reading.share

        order = make_order(reading.sampling, labels, reading.order_seed)

        def files():
            return _as_bytes(paths), labels.astype(np.int32), *order.arrays()

        def loaded(_):
            shapes = [[size], [size], *(array.shape for array in order.arrays())]
            types = [tf.string, tf.int32, *(array.dtype for array in order.arrays())]
            tensors = tf.numpy_function(files, [], types)
            for tensor, shape in zip(tensors, shapes, strict=True):
                tensor.set_shape(shape)
            return tuple(tensors)

        def gather(positions, paths, labels, *arrays):
            epochs, indices = order.locate(positions, *arrays)
            path = tf.gather(paths, indices)
            return {
                'data': path,
                'key': _key(path),
                'label': tf.gather(labels, indices),
                'epoch': epochs,
                'index': indices,
            }

        def run(*arrays):
            return share.stretches(
                None if reading.training else size, reading.start_step
            ).map(lambda positions: gather(positions, *arrays))

        batches = tf.data.Dataset.range(1).map(loaded).flat_map(run)
        return self._decoded(batches, reading)

    def _read(self, data):
        return tf.io.read_file(data)

    def labels(self, split):
        return self._files[split][1]

    def _restrict(self, places, numbers):
        for split, kept in places.items():
            paths, labels = self._files[split]
            paths = [paths[place] for place in kept]
            self._files[split] = (paths, numbers[labels[kept]])

    def encoded(self, split, indices=None):
        self._check_split(split)
        paths, labels = self._files[split]
        for index in range(len(paths)) if indices is None else indices:
            key = _printable(paths[index])
            try:
                with open(paths[index], 'rb') as file:
                    data = file.read()
            except OSError as error:
                if self.bad_examples is None:
                    raise
                self.bad_examples.note(key, lambda why=error.strerror: why)
                continue
            yield key, data, int(labels[index])

    def unreadable(self, limit=None):
        bad = []
        for paths, _ in self._files.values():
            good = set()
            for batch in iterate(lambda paths=paths: self._readable(paths)):
                good.update(batch.tolist())
            for number, path in enumerate(paths):
                if number not in good:
                    bad.append((_printable(path), self._reason(os.fsencode(path))))
                    if limit and len(bad) >= limit:
                        return bad
        return bad

    def _readable(self, paths):
        """Dataset of batches of the indices of the pictures that can be decoded."""

        def attempt(index, path):
            image = self._decode_whole(path)
            with tf.control_dependencies([image]):
                return tf.identity(index)

        dataset = tf.data.Dataset.from_tensor_slices(
            (np.arange(len(paths)), _as_bytes(paths))
        )
        dataset = dataset.map(attempt, num_parallel_calls=tf.data.AUTOTUNE)
        return dataset.ignore_errors().batch(256)

    def _decode_whole(self, path):
        """Decodes all of a picture: damage may lie outside the middle."""
        return self.decode(tf.io.read_file(path), _key(path), whole_window)


def _as_bytes(paths):
    return np.array([os.fsencode(path) for path in paths], dtype=object)


def _key(path):
    return tf.strings.unicode_transcode(path, 'UTF-8', 'UTF-8')


def _printable(path):
    return os.fsencode(path).decode('utf-8', 'replace')
