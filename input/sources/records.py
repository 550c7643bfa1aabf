"""Reads the records of TFRecord shards and finds those that cannot be read."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from estimator_clf.core.errors import DataError, is_out_of_memory
from input.images.decode import CORRUPT_EXAMPLE
from input.images.tf_messages import short_reason
from input.sampling.stateless_random import mix_text
from input.sources.base import as_numpy_batches
from input.tfrecord.files import Shard, count_records

# (serialized record, its name) -> {'data', 'key', 'label'}, see `TFRecordSource`.
Parser = Callable[[tf.Tensor, tf.Tensor], Mapping[str, tf.Tensor]]


def record_dataset(paths: str | Sequence[str], compression: str) -> tf.data.Dataset:
    """Returns the serialized records of some files, in natural order."""
    # Its default of 256 kB, which TensorFlow would log for every file.
    return tf.data.TFRecordDataset(paths, compression, buffer_size=1 << 18)


def numbered_records(
    shards: Sequence[Shard], number: int | tf.Tensor = 0, check: bool = True
) -> tf.data.Dataset:
    """Returns the records of a shard with their numbers in the file.

    Args:
      shards: the shards of a split.
      number: index of the shard to read, int or int64 scalar.
      check: raise an error if there are fewer records than the shard lists.

    Returns:
      Dataset of (int64 scalar, string scalar).
    """
    path = tf.constant([shard.path for shard in shards])[number]
    compression = tf.constant([shard.compression for shard in shards])[number]
    skip = tf.constant([shard.skip for shard in shards], tf.int64)[number]
    count = tf.constant([shard.count for shard in shards], tf.int64)[number]
    records = record_dataset(path, compression)
    records = records.enumerate().skip(skip).take(count)
    if check:
        # Positions are computed from the counts: a wrong one would shift them all.
        records = records.apply(tf.data.experimental.assert_cardinality(count))
    return records


def record_ids(shard: Shard) -> np.ndarray:
    """Returns uint64 [count], which identify the records of a shard."""
    places = np.arange(shard.skip, shard.skip + shard.count, dtype=np.uint64)
    return places + np.uint64(mix_text(shard.name))


def sample_images(
    shards: Sequence[Shard], parse: Parser, count: int = 64
) -> list[bytes]:
    """Reads a few encoded images, some from each of up to `count` shards.

    Args:
      shards: the shards of a split.
      parse: see `TFRecordSource`.
      count: approximate number of images.

    Raises:
      DataError: they cannot be read.
    """
    some = [shard for shard in shards if shard.count][:count]
    each = -(-count // max(1, len(some)))
    some = [dataclasses.replace(s, count=min(s.count, each)) for s in some]

    def dataset():
        records = tf.data.Dataset.range(len(some)).flat_map(
            lambda number: numbered_records(some, number)
        )
        return records.map(lambda _, serialized: parse(serialized, '')['data'])

    try:
        return list(as_numpy_batches(dataset, count))
    except tf.errors.OpError as error:
        if is_out_of_memory(error):
            raise
        lost = [x for s in some for x in unreadable_record(s, readable_records(s))]
        where, reason = (lost or [(some[0].path, short_reason(error))])[0]
        raise DataError(f'{where}: {reason}') from None


def corrupt_example(key: tf.Tensor, *words: tf.Tensor | str) -> tf.Tensor:
    """Joins an error message about one example, in the form `short_reason` finds."""
    return tf.strings.join([CORRUPT_EXAMPLE + ' <', key, '>: ', *words])


def numbers_without_error(make: Callable[[], tf.data.Dataset]) -> set[int]:
    """Returns the numbers of the records of a dataset that raise no error.

    Args:
      make: returns a dataset of (number, value).
    """
    numbers = set()
    dataset = as_numpy_batches(
        lambda: make().map(lambda n, _: n).ignore_errors().batch(256)
    )
    for batch in dataset:
        numbers.update(batch.tolist())
    return numbers


def readable_records(shard: Shard) -> set[int]:
    """Returns the numbers of the records of a shard that can be read."""
    return numbers_without_error(lambda: numbered_records([shard], check=False))


def unreadable_record(shard: Shard, readable: set[int]) -> list[tuple[str, str]]:
    """Lists the record at which reading a shard fails.

    A reader cannot continue after a corrupt record: the first is all that is found.

    Args:
      shard: the shard.
      readable: see `readable_records`.

    Returns:
      List of one (where it is, reason), or of none.
    """
    places = range(shard.skip, shard.skip + shard.count)
    lost = next((place for place in places if place not in readable), None)
    if lost is None:
        return []
    return [(f'{shard.path}, record {lost}', _why_unreadable(shard))]


def _why_unreadable(shard: Shard) -> str:
    try:
        count = count_records(shard.path, shard.compression)
    except DataError as error:
        return str(error)
    if count < shard.skip + shard.count:
        return f'the file has {count} records, where {shard.skip + shard.count} belong'
    return 'its data do not match their checksum: a bit has flipped; get the file again'
