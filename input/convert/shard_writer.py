"""Writes shards of a dataset as TFRecords."""

import contextlib
import dataclasses
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import numpy as np
import tensorflow as tf

from estimator_clf.core.errors import (
    DataError,
    RunError,
    disk_full_message,
    is_out_of_memory,
)
from estimator_clf.core.hardware.devices import session_config
from input.images.decode import whole_window
from input.images.file_kind import kind_of
from input.images.image_shape import header
from input.images.tf_messages import short_reason
from input.sources.base import DataSource, as_numpy_batches
from input.sources.records import record_dataset

ENDINGS = {'': '.tfrecord', 'GZIP': '.tfrecord.gz', 'ZLIB': '.tfrecord.zlib'}

# Memory that a process uses to write examples in another order than they are read.
_CHUNK_BYTES = 256e6

# Number of files open at a time: systems allow 256 or more.
_OPEN_FILES = 200


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of all shards.

    Attributes:
      directory: directory to write to.
      compression: '', 'GZIP' or 'ZLIB'.
      root: directory to which keys that are paths become relative, or None.
      example_bytes: approximate size of an encoded image.
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
    """Writes shards of a source."""

    def __init__(self, source: DataSource, settings: Settings, threads: int = 0):
        self._source = source
        self._settings = settings
        with tf.Graph().as_default():
            self._data = tf.compat.v1.placeholder(tf.string, [])
            # All of it: outside of a window a JPEG would not be decoded.
            pixels = source.decode(self._data, window=whole_window)
            self._pixels = tf.reduce_max(pixels)
            self._shape = tf.shape(tf.io.decode_image(self._data))[-3:]
            self._session = tf.compat.v1.Session(
                config=session_config(
                    rewrite=False,
                    intra_op_parallelism_threads=threads,
                    inter_op_parallelism_threads=threads,
                )
            )

    def write(
        self, jobs: Sequence[Job], count: Callable[[], object]
    ) -> list[dict[str, Any]]:
        """Writes some shards.

        A shard is written in chunks that fit into memory: read in natural order, sorted
        into the shard's order. A source without random access is read once for all
        chunks, whose examples go to one temporary file for each chunk.

        Args:
          jobs: shards of one split.
          count: called after each example.

        Returns:
          The manifest's entries.
        """
        if not self._source.indexed:
            self._distribute(jobs, count)
        return [self._write_shard(job, count) for job in jobs]

    def _write_shard(self, job: Job, count: Callable[[], object]) -> dict[str, Any]:
        name = job.stem + ENDINGS[self._settings.compression]
        path = os.path.join(self._settings.directory, name)
        with _written(name):
            with tf.io.TFRecordWriter(path, self._settings.compression) as file:
                for temporary, chunk in self._chunks(job):
                    if self._source.indexed:
                        records = self._records(job.split, chunk, count)
                    else:
                        records = _read_temporary(temporary, chunk)
                    for record in _in_order(records, len(chunk)):
                        file.write(record)
        return {
            'file': name,
            'examples': len(job.indices),
            'bytes': os.path.getsize(path),
        }

    def _chunks(self, job: Job) -> list[tuple[str, np.ndarray]]:
        """Splits a shard into (path of a temporary file, indices)."""
        size = max(1, int(_CHUNK_BYTES / max(1.0, self._settings.example_bytes)))
        path = os.path.join(self._settings.directory, f'.{job.stem}.part-')
        starts = range(0, len(job.indices), size)
        return [(f'{path}{s}', job.indices[s : s + size]) for s in starts]

    def _distribute(self, jobs: Sequence[Job], count: Callable[[], object]) -> None:
        """Writes the examples of all chunks to their temporary files."""
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

    def _records(
        self, split: str, indices: np.ndarray, count: Callable[[], object]
    ) -> Iterator[tuple[int, bytes]]:
        """Yields (place in `indices`, serialized record), in natural order."""
        rank = np.argsort(indices)
        with data_errors(self._source):
            encoded = self._source.encoded(split, indices[rank].tolist())
            for place, (key, data, label) in zip(rank, encoded, strict=True):
                yield place, self._record(key, data, label)
                count()

    def _record(self, key: str, data: bytes, label: int) -> bytes:
        try:
            self._session.run(self._pixels, {self._data: data})
        except tf.errors.OpError as error:
            if is_out_of_memory(error):
                raise
            raise DataError(f'{key} cannot be decoded: {short_reason(error)}') from None
        # Relative, so that the records do not contain paths of this machine.
        root = os.path.join(self._settings.root or '', '')
        key = key[len(root) :] if key.startswith(root) else key
        name = self._source.class_names[label]
        features = {
            'image/encoded': _bytes(data),
            'image/format': _bytes((kind_of(data) or '').encode()),
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

    def _shape_of(self, data: bytes) -> tuple[int, int, int]:
        """Returns (height, width, channels) of an encoded image."""
        try:
            height, width, mode = header(data)
        except (OSError, ValueError):  # Pillow is stricter than TensorFlow.
            shape = self._session.run(self._shape, {self._data: data}).tolist()
            return shape[0], shape[1], 1 if shape[2] < 3 else 3
        return height, width, 1 if mode in ('1', 'L', 'LA', 'I', 'I;16') else 3


def _read_temporary(path: str, chunk: np.ndarray) -> Iterator[tuple[int, bytes]]:
    """Yields (place in `chunk`, serialized record) of a temporary file; deletes it."""
    batches = as_numpy_batches(lambda: record_dataset(path, '').batch(64))
    records = itertools.chain.from_iterable(batches)
    yield from zip(np.argsort(chunk), records, strict=True)
    os.remove(path)


def _in_order(records: Iterable[tuple[int, bytes]], count: int) -> list[bytes]:
    found = [b''] * count
    for place, record in records:
        found[place] = record
    return found


@contextlib.contextmanager
def _written(name: str) -> Iterator[None]:
    """Turns TensorFlow's errors while writing a file into a sentence."""
    try:
        yield
    except tf.errors.OpError as error:
        if is_out_of_memory(error):
            raise
        if full := disk_full_message(error):
            raise RunError(f'{name} cannot be written: {full}; free space') from None
        raise DataError(f'{name} cannot be written: {short_reason(error)}') from None


def _bytes(value: bytes) -> Any:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _integer(value: int) -> Any:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


@contextlib.contextmanager
def data_errors(source: DataSource) -> Iterator[None]:
    """Turns TensorFlow's errors while reading a source into DataErrors."""
    try:
        yield
    except tf.errors.OpError as error:
        if is_out_of_memory(error):
            raise
        raise DataError(source.explain(error) or short_reason(error)) from None
