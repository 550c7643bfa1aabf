"""Encoded images in TFRecord files: only their number is in memory.

Records cannot be reached by number, so there is no global permutation: an epoch is a
seeded order of the files, several of them read in turns, and then a seeded shuffle
buffer. Each is a function of (seed, epoch), so that the examples of any step are too; a
run that resumes in mid-epoch reads the records of that epoch again up to its step, but
does not decode them.
"""

import dataclasses
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from estimator_clf.core.errors import DataError, is_out_of_memory
from input.dataset_info import DatasetInfo
from input.fingerprint import Identity, fingerprint_files, identify_shards
from input.images.decode import whole_window
from input.images.tf_messages import short_reason
from input.sampling.index_shuffle import epoch_seed, locate
from input.sampling.stateless_random import is_validation_example, mix_text
from input.sampling.validation_split import retained
from input.sources.base import DataSource, as_numpy_batches
from input.sources.encoded import format_unreadable
from input.sources.in_memory import check_validation_split
from input.sources.pipeline import ReadOptions
from input.sources.records import (
    Parser,
    corrupt_example,
    numbered_records,
    numbers_without_error,
    readable_records,
    record_ids,
    sample_images,
    unreadable_record,
)
from input.tfrecord.files import Shard

# Serialized records, not pixels: 4,096 ImageNet photos are about 450 MB.
SHUFFLE_BUFFER = 4096

# Files read in turns. More would mix better, at the cost of an open file and its buffer
# each.
_FILES_IN_TURNS = 16

# Records that are read to find classes without any; ImageNet's take 10,000.
_LABELS_READ = 200_000


@dataclasses.dataclass(frozen=True)
class _Part:
    """The shards of a split, and which of their records belong to it.

    Attributes:
      shards: the shards, in order.
      starts: int64 [shards]: the number, within the split as stored, of the first
        record of each shard.
      held_out: True or False for the records that are held out for validation or not;
        None for all.
      count: number of records that belong to the split.
      chosen: bool [records as stored]: which belong to a subset; None: all.
      kept: ids of records that are not held out, so that their class has one.
    """

    shards: list[Shard]
    starts: np.ndarray
    held_out: bool | None
    count: int
    chosen: np.ndarray | None = None
    kept: tuple[int, ...] = ()


class TFRecordSource(DataSource):
    """Splits of TFRecord shards."""

    unique_keys = False  # They may be file names of several directories.
    indexed = False
    range_hint = ''  # What to do about a label out of range, if the format knows.

    def __init__(
        self,
        name: str,
        class_names: Sequence[str],
        image_shape: Sequence[int],
        splits: Mapping[str, list[Shard]],
        parse: Parser,
        validation_split: float = 0.0,
        shuffle_buffer: int = SHUFFLE_BUFFER,
        info: DatasetInfo | None = None,
    ):
        """Makes the source.

        Args:
          name: see `DataSource`.
          class_names: see `DataSource`.
          image_shape: (height, width, channels) that images are resized to.
          splits: dict split -> its shards.
          parse: function of string scalars (serialized record, its name) to a dict
            'data', the encoded image; 'key', string; 'label', an integer. AutoGraph
            is off: `tf.cond` instead of Python's `if` over tensors.
          validation_split: fraction of 'train' to hold out as 'validation'; which
            records follows from the name of the file and the number in it; each class
            keeps at least one for training (looked up in 200,000 records at most).
          shuffle_buffer: number of records to sample from; with 1 only the order of the
            files and their taking turns shuffle.
          info: see `DataSource`.

        Raises:
          DataError: an empty split, or invalid options.
        """
        super().__init__(name, class_names, image_shape, info)
        if shuffle_buffer < 1:
            raise DataError(
                f'`shuffle_buffer` must be at least 1, got {shuffle_buffer}'
            )
        self._parse = parse
        self._shuffle_buffer = shuffle_buffer
        self._fraction = validation_split
        # The label here of each class of the records; -1: excluded.
        self._numbers = np.arange(len(self.class_names), dtype=np.int32)
        self._parts: dict[str, _Part] = {}
        # Of the files of a split; held-out records are in the same files.
        self._identities: dict[tuple[str, ...], Identity] = {}
        for split, shards in splits.items():
            counts = [shard.count for shard in shards]
            if not sum(counts):
                raise DataError(f'{name}: the split {split!r} has no records')
            starts = np.cumsum([0, *counts[:-1]], dtype=np.int64)
            self._parts[split] = _Part(shards, starts, None, sum(counts))
        if validation_split:
            self._hold_out(splits)

    def _hold_out(self, splits: Mapping[str, list[Shard]]) -> None:
        shards = splits.get('train', [])
        # The hash needs a fraction in range; others are refused below.
        fraction = self._fraction if 0.0 <= self._fraction < 1.0 else 0.0
        each = [is_validation_example(record_ids(shard), fraction) for shard in shards]
        out = np.concatenate(each) if each else np.zeros([0], bool)
        check_validation_split(self.name, self._fraction, splits, out)
        if not out.any():
            return
        self._divide(out, ())
        ids = np.concatenate([record_ids(shard) for shard in shards])
        kept = self._rare(ids[out])
        if len(kept):
            out = out & ~np.isin(ids, kept)
            check_validation_split(self.name, self._fraction, splits, out)
            train = dataclasses.replace(
                self._parts['train'], held_out=None, count=len(out)
            )
            self._parts['train'] = train
            if not out.any():
                del self._parts['validation']
                return
            self._divide(out, tuple(kept.tolist()))

    def _divide(self, out: np.ndarray, kept: tuple[int, ...]) -> None:
        train, count = self._parts['train'], int(out.sum())
        self._parts['train'] = dataclasses.replace(
            train, held_out=False, count=train.count - count, kept=kept
        )
        self._parts['validation'] = dataclasses.replace(
            train, held_out=True, count=count, kept=kept
        )

    def _rare(self, ids: np.ndarray) -> np.ndarray:
        """Returns the ids of a held-out record of each class without another.

        Args:
          ids: uint64 [N], the held-out records in natural order.
        """
        absent = self.absent_classes('train')
        if not absent or len(ids) > _LABELS_READ:
            return np.zeros([0], np.uint64)
        try:
            labels = self.labels('validation')
        except DataError:  # Reading will report it.
            return np.zeros([0], np.uint64)
        known = np.setdiff1d(labels, absent)
        return ids[retained(ids, labels, known)]

    def absent_classes(self, split: str) -> list[int]:
        """See `DataSource`; reads records until each class has occurred."""
        self._check_split(split)
        absent = set(range(len(self.class_names)))

        def dataset():
            records = self._epoch(split).take(_LABELS_READ)
            examples = records.map(self._load, tf.data.AUTOTUNE, True)
            return examples.map(lambda example: example['label']).batch(256)

        try:
            for labels in as_numpy_batches(dataset):
                absent -= set(labels.tolist())
                if not absent:
                    return []
        except tf.errors.OpError:  # Reading will report it.
            return []
        return sorted(absent) if self.num_examples[split] <= _LABELS_READ else []

    @property
    def num_examples(self) -> dict[str, int]:
        return {split: part.count for split, part in self._parts.items()}

    def _check_options(self, options: ReadOptions) -> None:
        if options.training and options.sampling != 'natural':
            raise DataError(
                f'`sampling={options.sampling}` must reach examples by their number, '
                'and records have none; use `class_weights=balanced`, or the images as '
                'a directory (`dataset=image_folder`)'
            )

    def read(self, options: ReadOptions) -> tf.data.Dataset:
        """See `DataSource`; 'data'."""
        share = options.share
        if options.training:
            records = self._endless_records(options)
        else:
            zero = tf.constant(0, tf.int64)
            records = self._epoch(options.split)
            records = records.map(lambda record: dict(record, epoch=zero))
        examples = records.map(
            self._load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        return examples.batch(share.block, drop_remainder=options.training)

    def _endless_records(self, options: ReadOptions) -> tf.data.Dataset:
        """Returns this worker's records of all epochs, from the first step on."""
        share = options.share
        first = options.start_step * share.batch_size
        first_epoch, done = divmod(first, self.num_examples[options.split])

        def run(epoch):
            records = self._epoch(options.split, options.seed, epoch)
            skip = tf.where(
                tf.equal(epoch, first_epoch),
                tf.constant(done, tf.int64),
                tf.constant(0, tf.int64),
            )
            return records.skip(skip).map(lambda record: dict(record, epoch=epoch))

        epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)
        records = epochs.flat_map(run)
        if share.block * share.per_step == share.batch_size:
            return records
        records = records.enumerate(start=first)  # There are other workers.
        records = records.filter(lambda position, _: share.contains(position))
        return records.map(lambda _, record: record)

    def _epoch(
        self, split: str, seed: int | None = None, epoch: tf.Tensor = None
    ) -> tf.data.Dataset:
        """Returns the records of one epoch, in order.

        Args:
          split: name of the split.
          seed: seed of the order; None for the natural order.
          epoch: int64 scalar.

        Returns:
          Dataset of dicts: 'serialized' string, 'name' string (`file:number`),
          'index' int64 (number within the split as stored).
        """
        part = self._parts[split]
        starts = tf.constant(part.starts)
        names = tf.constant([shard.name for shard in part.shards])
        bases = tf.constant(
            np.array([mix_text(shard.name) for shard in part.shards], np.uint64)
        )
        skips = tf.constant([shard.skip for shard in part.shards], tf.int64)

        def read(number):
            def belongs(place, _):
                ids = bases[number] + tf.cast(place, tf.uint64)
                held_out = is_validation_example(ids, self._fraction)
                if part.kept:
                    kept = tf.constant(np.array(part.kept, np.uint64))
                    kept = tf.reduce_any(tf.equal(kept, ids))
                    held_out = tf.logical_and(held_out, tf.logical_not(kept))
                return tf.equal(held_out, part.held_out)

            def describe(place, serialized):
                return {
                    'serialized': serialized,
                    'name': tf.strings.join(
                        [names[number], ':', tf.strings.as_string(place)]
                    ),
                    'index': starts[number] + place - skips[number],
                }

            records = numbered_records(part.shards, number)
            if part.held_out is not None:
                records = records.filter(belongs)
            records = records.map(describe)
            if part.chosen is not None:
                chosen = tf.constant(part.chosen)
                records = records.filter(lambda record: chosen[record['index']])
            return records

        if seed is None:
            return tf.data.Dataset.range(len(part.shards)).flat_map(read)
        files = len(part.shards)
        places = epoch * files + tf.range(files, dtype=tf.int64)
        _, order = locate(places, files, seed)
        records = tf.data.Dataset.from_tensor_slices(order).interleave(
            read,
            cycle_length=min(_FILES_IN_TURNS, files),
            block_length=1,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        # `shuffle` also uses the seed of the graph that it is in. This graph is the one
        # of the function given to `flat_map`, so that no other op depends on it.
        tf.compat.v1.set_random_seed(1)
        return records.shuffle(
            min(self._shuffle_buffer, part.count),
            seed=_shuffle_seed(seed, epoch),
            reshuffle_each_iteration=False,
        )

    def _load(self, record: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Parses a record of `_epoch` and checks its label."""
        parsed = self._parse(record['serialized'], record['name'])
        label = tf.cast(parsed['label'], tf.int64)
        last = len(self._numbers) - 1
        valid = tf.logical_and(label >= 0, label <= last)
        message = corrupt_example(
            parsed['key'],
            f'its label must be from 0 to {last}, got ',
            tf.strings.as_string(label),
            f'. {self.range_hint}' if self.range_hint else '',
        )
        with tf.control_dependencies([tf.debugging.Assert(valid, [message])]):
            label = tf.gather(self._numbers, label)
        # Corrupt images are counted by name: several may have the same key.
        omitted = {'serialized'} | ({'name'} if self.corrupt_images is None else set())
        rest = {k: v for k, v in record.items() if k not in omitted}
        return dict(rest, data=parsed['data'], key=parsed['key'], label=label)

    def labels(self, split: str) -> np.ndarray:
        """See `DataSource`; reads all records once, and decodes none."""
        return self._all_of(split, 'label')

    def fingerprint(self, split: str) -> str:
        part = self._parts[split]
        records = [(shard.count, shard.skip) for shard in part.shards]
        chosen = None if part.chosen is None else np.flatnonzero(part.chosen).tolist()
        what = [records, part.held_out, part.count, self._numbers.tolist(), chosen]
        paths = [shard.path for shard in part.shards]
        return f'{fingerprint_files(paths)} {zlib.crc32(repr(what).encode())}'

    def _identity(self, split: str) -> Identity:
        part = self._parts[split]
        paths = tuple(dict.fromkeys(shard.path for shard in part.shards))
        if paths not in self._identities:
            self._identities[paths] = identify_shards(paths)
        found = self._identities[paths]
        records = [(shard.count, shard.skip) for shard in part.shards]
        what = [records, part.held_out, self._numbers.tolist()]
        chosen = b'' if part.chosen is None else np.packbits(part.chosen).tobytes()
        crc = zlib.crc32(chosen, zlib.crc32(repr(what).encode()))
        return {**found, 'content': f'{found["content"]} {crc:08x}'}

    def _restrict(self, places: Mapping[str, np.ndarray], numbers: np.ndarray) -> None:
        for split, some in places.items():
            part = self._parts[split]
            chosen = np.zeros(sum(shard.count for shard in part.shards), bool)
            chosen[self._all_of(split, 'index')[some]] = True
            self._parts[split] = dataclasses.replace(
                part, count=len(some), chosen=chosen
            )
        self._numbers = numbers

    def _all_of(self, split: str, field: str) -> np.ndarray:
        """Returns 'label' or 'index' of each example of a split, in natural order."""

        def dataset():
            examples = self._epoch(split).map(self._load, tf.data.AUTOTUNE, True)
            return examples.map(lambda example: example[field]).batch(1024)

        try:
            return np.concatenate(list(as_numpy_batches(dataset)))
        except tf.errors.OpError as error:
            if is_out_of_memory(error):
                raise
            raise DataError(self.explain(error) or short_reason(error)) from None

    def encoded(
        self, split: str, indices: Sequence[int] | None = None
    ) -> Iterator[tuple[str, bytes, int]]:
        """See `DataSource`; records before the requested ones are read, too."""
        self._check_split(split)
        requested = None if indices is None else iter(indices)
        following = next(requested, None) if requested else 0

        def dataset():
            return self._epoch(split).map(self._load, 2, True).prefetch(16)

        if following is None:
            return
        for number, example in enumerate(as_numpy_batches(dataset)):
            if requested:
                if number != following:
                    continue
                following = next(requested, None)
            key = example['key'].decode('utf-8', 'replace')
            yield key, example['data'], int(example['label'])
            if following is None:
                return

    def sample(self, split: str, count: int = 64) -> list[bytes]:
        self._check_split(split)
        return sample_images(self._parts[split].shards, self._parse, count)

    def explain(self, error: BaseException) -> str | None:
        if self.corrupt_images and self.corrupt_images.stopped_by:
            return self.corrupt_images.stopped_by
        # Finding a corrupt image takes decoding all; a corrupt record, only reading.
        decode = isinstance(error, tf.errors.InvalidArgumentError)
        return format_unreadable(self.unreadable(limit=10, decode=decode), 10)

    def unreadable(
        self, limit: int | None = None, decode: bool = True
    ) -> list[tuple[str, str]]:
        """Reads every record and lists those that cannot be read or decoded.

        Args:
          limit: stop after so many.
          decode: decode the images; otherwise the records are read only.

        Returns:
          List of (file and number of the record, reason).
        """
        found, done = [], set()
        for part in self._parts.values():
            for shard in part.shards:
                if shard in done:  # Held-out records are in the same files.
                    continue
                done.add(shard)
                found += self._unreadable_in(shard, decode)
                if limit and len(found) >= limit:
                    return found[:limit]
        return found

    def _unreadable_in(self, shard: Shard, decode: bool) -> list[tuple[str, str]]:
        if not os.path.exists(shard.path):
            return [(shard.path, 'is not there')]
        places = range(shard.skip, shard.skip + shard.count)
        valid: set[int] = set()
        if decode:
            valid = numbers_without_error(lambda: self._attempts(shard))
            if len(valid) == shard.count:
                return []
        readable = readable_records(shard)
        found = []
        if decode:
            for place in places:
                if place in readable and place not in valid:
                    reason = self._why_unreadable(shard, place)
                    found.append((f'{shard.path}, record {place}', reason))
        return found + unreadable_record(shard, readable)

    def _attempts(self, shard: Shard) -> tf.data.Dataset:
        """Decodes the images of a shard; dataset of (number, '')."""

        def attempt(place, serialized):
            name = tf.strings.join([shard.name, ':', tf.strings.as_string(place)])
            example = self._load({'serialized': serialized, 'name': name})
            # All of it: the corrupt part may be outside the central window.
            image = self.decode(example['data'], example['key'], whole_window)
            with tf.control_dependencies([image, example['label']]):
                return tf.identity(place), tf.constant('')

        records = numbered_records([shard], check=False)
        return records.map(attempt, num_parallel_calls=tf.data.AUTOTUNE)

    def _why_unreadable(self, shard: Shard, place: int) -> str:
        only = dataclasses.replace(shard, skip=place, count=1)
        try:
            for _ in as_numpy_batches(lambda: self._attempts(only)):
                pass
        except tf.errors.OpError as error:
            if is_out_of_memory(error):
                raise
            return short_reason(error)
        return 'could not be decoded at first, but can be now'


def _shuffle_seed(seed: int, epoch: tf.Tensor) -> tf.Tensor:
    bits = epoch_seed(seed, epoch)[0]
    # 31 bits: `shuffle` takes the seed modulo the largest int32.
    return tf.cast(tf.bitwise.right_shift(bits, tf.constant(33, tf.uint64)), tf.int64)
