"""Writes shards of a dataset as TFRecords."""

import contextlib
import dataclasses
import itertools
import os

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import numpy as np
import tensorflow as tf

from estimator_clf.core.devices import session_config
from estimator_clf.core.errors import DataError
from input.images.decode import kind_of
from input.images.image_shape import header
from input.images.tf_messages import short_reason
from input.sources.base import as_numpy_batches
from input.sources.records import record_dataset

ENDINGS = {'': '.tfrecord', 'GZIP': '.tfrecord.gz', 'ZLIB': '.tfrecord.zlib'}

# What a process keeps in memory to write it in another order than it is read.
_CHUNK_BYTES = 256e6

# Files written to at a time: systems allow 256 or more.
_OPEN_FILES = 200


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is the same for all shards.

    Attributes:
      directory: where to write.
      compression: '', 'GZIP' or 'ZLIB'.
      root: directory that keys which are paths are written relative to, or None.
      example_bytes: about how large an encoded image is.
    """

    directory: str
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

    def write(self, jobs, count):
        """Writes some shards.

        A shard is written in chunks that fit into memory: read in natural order, put
        into theirs. A source that comes to an example only by those before it is read
        once for all of them: that deals its examples to a file for each chunk.

        Args:
          jobs: list of `Job` of one split.
          count: function called after each example.

        Returns:
          List of the facts for the manifest.
        """
        if not self._source.indexed:
            self._deal(jobs, count)
        return [self._write_shard(job, count) for job in jobs]

    def _write_shard(self, job, count):
        name = job.stem + ENDINGS[self._settings.compression]
        path = os.path.join(self._settings.directory, name)
        with _written(name):
            with tf.io.TFRecordWriter(path, self._settings.compression) as file:
                for dealt, chunk in self._chunks(job):
                    if self._source.indexed:
                        records = self._records(job.split, chunk, count)
                    else:
                        records = _take_back(dealt, chunk)
                    for record in _in_order(records, len(chunk)):
                        file.write(record)
        return {
            'file': name,
            'examples': len(job.indices),
            'bytes': os.path.getsize(path),
        }

    def _chunks(self, job):
        """List of (path of the file it may be dealt to, indices)."""
        size = max(1, int(_CHUNK_BYTES / max(1.0, self._settings.example_bytes)))
        path = os.path.join(self._settings.directory, f'.{job.stem}.part-')
        starts = range(0, len(job.indices), size)
        return [(f'{path}{s}', job.indices[s : s + size]) for s in starts]

    def _deal(self, jobs, count):
        chunks = [chunk for job in jobs for chunk in self._chunks(job)]
        for start in range(0, len(chunks), _OPEN_FILES):
            some = chunks[start : start + _OPEN_FILES]
            indices = np.concatenate([chunk for _, chunk in some])
            owners = np.repeat(np.arange(len(some)), [len(chunk) for _, chunk in some])
            with contextlib.ExitStack() as stack, _written('a part of a shard'):
                files = [
                    stack.enter_context(tf.io.TFRecordWriter(path)) for path, _ in some
                ]
                for place, record in self._records(jobs[0].split, indices, count):
                    files[owners[place]].write(record)

    def _records(self, split, indices, count):
        """Yields (place in `indices`, serialized record), in natural order."""
        rank = np.argsort(indices)
        with in_words(self._source):
            encoded = self._source.encoded(split, indices[rank].tolist())
            for place, (key, data, label) in zip(rank, encoded, strict=True):
                yield place, self._record(key, data, label)
                count()

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
        """(height, width, channels) of an encoded image."""
        try:
            height, width, mode = header(data)
        except (OSError, ValueError):  # Pillow minds more than TensorFlow does.
            shape = self._session.run(self._shape, {self._data: data}).tolist()
            return *shape[:2], 1 if shape[2] < 3 else 3
        return height, width, 1 if mode in ('1', 'L', 'LA', 'I', 'I;16') else 3


def _take_back(path, chunk):
    """Yields (place in `chunk`, serialized record) of what was dealt; the file goes."""
    batches = as_numpy_batches(lambda: record_dataset(path, '').batch(64))
    records = itertools.chain.from_iterable(batches)
    yield from zip(np.argsort(chunk), records, strict=True)
    os.remove(path)


def _in_order(records, count):
    found = [None] * count
    for place, record in records:
        found[place] = record
    return found


@contextlib.contextmanager
def _written(name):
    """Turns TensorFlow's errors while writing a file into DataErrors."""
    try:
        yield
    except tf.errors.OpError as error:
        raise DataError(f'{name} cannot be written: {short_reason(error)}') from None


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
