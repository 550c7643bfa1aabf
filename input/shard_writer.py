"""Writes shards of a data set as TFRecords."""

import contextlib
import dataclasses
import os

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import numpy as np
import tensorflow as tf

from estimator_clf.devices import session_config
from input.decode import kind_of
from input.encoded_source import short_reason
from input.errors import DataError
from input.sizes import header

ENDINGS = {'': '.tfrecord', 'GZIP': '.tfrecord.gz', 'ZLIB': '.tfrecord.zlib'}

# What a process keeps in memory to write it in another order than it is read.
_CHUNK_BYTES = 256e6


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is the same for all shards.

    Attributes:
      folder: where to write.
      compression: '', 'GZIP' or 'ZLIB'.
      root: folder that keys which are paths are written relative to, or None.
      example_bytes: about how large an encoded picture is.
    """

    folder: str
    compression: str
    root: str | None
    example_bytes: float


@dataclasses.dataclass(frozen=True)
class Job:
    """One shard: file name without ending, split, and indices in their new order."""

    stem: str
    split: str
    indices: np.ndarray


class ShardWriter:
    """Writes shards."""

    def __init__(self, source, settings, threads=0):
        self._source = source
        self._settings = settings
        with tf.Graph().as_default():
            self._data = tf.compat.v1.placeholder(tf.string, [])
            # All of it: a window would leave the rest of a JPEG undecoded.
            pixels = source.decode(
                self._data, window=lambda height, width: tf.stack([0, 0, height, width])
            )
            self._pixels = tf.reduce_max(pixels)
            self._shape = tf.shape(tf.io.decode_image(self._data))[-3:]
            self._session = tf.compat.v1.Session(
                config=session_config(
                    rewrite=False,
                    intra_op_parallelism_threads=threads,
                    inter_op_parallelism_threads=threads,
                )
            )

    def write(self, job, count):
        """Writes one shard.

        Args:
          job: `Job`.
          count: function called after each example.

        Returns:
          The facts for the manifest.
        """
        name = job.stem + ENDINGS[self._settings.compression]
        path = os.path.join(self._settings.folder, name)
        size = max(1, int(_CHUNK_BYTES / max(1.0, self._settings.example_bytes)))
        try:
            with tf.io.TFRecordWriter(path, self._settings.compression) as file:
                for start in range(0, len(job.indices), size):
                    chunk = job.indices[start : start + size]
                    for record in self._records(job.split, chunk, count):
                        file.write(record)
        except tf.errors.OpError as error:
            raise DataError(
                f'{name} cannot be written: {short_reason(error)}'
            ) from None
        return {
            'file': name,
            'examples': len(job.indices),
            'bytes': os.path.getsize(path),
        }

    def _records(self, split, indices, count):
        """Serialized records in the order of `indices`; read in natural order."""
        rank = np.argsort(indices)
        records = [None] * len(indices)
        with in_words(self._source):
            encoded = self._source.encoded(split, indices[rank].tolist())
            for place, (key, data, label) in zip(rank, encoded, strict=True):
                records[place] = self._record(key, data, label)
                count()
        return records

    def _record(self, key, data, label):
        try:
            self._session.run(self._pixels, {self._data: data})
        except tf.errors.OpError as error:
            raise DataError(f'{key} cannot be decoded: {short_reason(error)}') from None
        # Where the data lay on this machine is nobody's business.
        root = os.path.join(self._settings.root or '', '')
        key = key[len(root) :] if key.startswith(root) else key
        name = self._source.class_names[label]
        features = {
            'image/encoded': _bytes(data),
            'image/format': _bytes(kind_of(data).encode()),
            'image/class/label': _integer(label),
            'image/class/text': _bytes(name.encode()),
            'image/filename': _bytes(key.encode('utf-8', 'surrogateescape')),
        }
        for fact, value in zip(
            ('height', 'width', 'channels'), self._shape_of(data), strict=True
        ):
            features[f'image/{fact}'] = _integer(value)
        example = tf.train.Example(features=tf.train.Features(feature=features))
        # The same bytes for the same data.
        return example.SerializeToString(deterministic=True)

    def _shape_of(self, data):
        """(height, width, channels) of an encoded picture."""
        try:
            height, width, mode = header(data)
        except (OSError, ValueError):  # Pillow minds more than TensorFlow does.
            shape = self._session.run(self._shape, {self._data: data}).tolist()
            return *shape[:2], 1 if shape[2] < 3 else 3
        return height, width, 1 if mode in ('1', 'L', 'LA', 'I', 'I;16') else 3


def _bytes(value):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _integer(value):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


@contextlib.contextmanager
def in_words(source):
    """Turns TensorFlow's errors while reading a source into DataErrors."""
    try:
        yield
    except tf.errors.OpError as error:
        raise DataError(source.explain(error) or short_reason(error)) from None
