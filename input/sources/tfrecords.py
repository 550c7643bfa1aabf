"""Encoded images as records of TFRecord files: nothing but counts is in memory.

Records cannot be reached by number, so there is no global permutation: an epoch is
a seeded order of the files, of which several are read in turns, and then a seeded
shuffle buffer. Each is a function of (seed, epoch), so that the examples at any
step are too; a run that goes on in mid-epoch reads that epoch's records again up to
its step, but does not decode them.
"""

import dataclasses
import os
import zlib

import numpy as np
import tensorflow as tf

from estimator_clf.core.errors import DataError
from input.fingerprint import stamp
from input.images.decode import NOT_A_IMAGE, whole_window
from input.images.tf_messages import short_reason
from input.sampling.index_shuffle import epoch_seed, locate
from input.sampling.stateless_random import is_validation_example, mix_text
from input.sources.base import as_numpy_batches
from input.sources.encoded import EncodedSource, listed
from input.sources.in_memory import check_validation_split
from input.tfrecord.files import count_records

# Serialized records, not pixels: 4,096 ImageNet photos are about 450 MB.
SHUFFLE_BUFFER = 4096

# Files read in turns. More would mix better, at an open file and its buffer each.
_FILES_IN_TURNS = 16


@dataclasses.dataclass(frozen=True)
class _Part:
    """The shards of a split, and which of their records belong to it.

    Attributes:
      shards: list of `Shard`.
      starts: int64 array: the number, within the split as stored, of the first
        record of each shard.
      side: None for all; True, False for those held out, or not.
      count: number of records that belong.
      chosen: bool array: which numbers within the split belong; None: all.
    """

    shards: list
    starts: np.ndarray
    side: bool | None
    count: int
    chosen: np.ndarray | None = None


class TFRecordSource(EncodedSource):
    """Splits of TFRecord shards."""

    unique_keys = False  # They may be file names of any directories.
    indexed = False

    def __init__(
        self,
        name,
        class_names,
        image_shape,
        splits,
        parse,
        validation_split=0.0,
        shuffle_buffer=SHUFFLE_BUFFER,
        info=None,
    ):
        """Makes the source.

        Args:
          name: see `DataSource`.
          class_names: see `DataSource`.
          image_shape: (height, width, channels) to bring the images to.
          splits: dict split -> list of `Shard`.
          parse: function of string scalars (serialized record, its name) to a dict
            'data', the encoded image; 'key', string; 'label', an integer. AutoGraph
            is off: `tf.cond` instead of Python's `if` over tensors.
          validation_split: share of 'train' to hold out as 'validation'; which
            records follows from the name of the file and the number in it.
          shuffle_buffer: number of records to draw from; 1 leaves the order of the
            files and their taking turns as the only shuffling.
          info: see `DataSource`.

        Raises:
          DataError: an empty split, or options that make no sense.
        """
        super().__init__(name, class_names, image_shape, info)
        if shuffle_buffer < 1:
            raise DataError(
                f'`shuffle_buffer` must be at least 1, got {shuffle_buffer}'
            )
        self._parse = parse
        self._shuffle_buffer = shuffle_buffer
        self._fraction = validation_split
        # The number that each class of the records has here; -1: left out.
        self._numbers = np.arange(len(self.class_names), dtype=np.int32)
        self._parts = {}
        for split, shards in splits.items():
            counts = [shard.count for shard in shards]
            if not sum(counts):
                raise DataError(f'{name}: the split {split!r} has no records')
            starts = np.cumsum([0, *counts[:-1]], dtype=np.int64)
            self._parts[split] = _Part(shards, starts, None, sum(counts))
        if validation_split:
            self._hold_out(splits)

    def _hold_out(self, splits):
        shards = splits.get('train', [])
        # In range before the hash is asked.
        fraction = self._fraction if 0.0 <= self._fraction < 1.0 else 0.0
        out = [is_validation_example(record_ids(shard), fraction) for shard in shards]
        out = np.concatenate(out) if out else np.zeros([0], bool)
        check_validation_split(self.name, self._fraction, splits, out)
        train, count = self._parts['train'], int(out.sum())
        self._parts['train'] = dataclasses.replace(
            train, side=False, count=train.count - count
        )
        self._parts['validation'] = dataclasses.replace(train, side=True, count=count)

    @property
    def num_examples(self):
        return {split: part.count for split, part in self._parts.items()}

    def _check_sampling(self, sampling):
        super()._check_sampling(sampling)
        raise DataError(
            f'`sampling={sampling}` must reach examples by their number, and records '
            'have none; take `class_weights=balanced`, or the images as a directory '
            '(`dataset=image_folder`)'
        )

    def _batches(self, reading):
        size = self.num_examples[reading.split]
        if not reading.training:
            zero = tf.constant(0, tf.int64)
            records = self._epoch(reading.split)
            records = records.map(lambda record: dict(record, epoch=zero))
            return self._decoded(self._loaded(records, reading), reading)

        share = reading.share
        first = reading.start_step * share.batch_size
        first_epoch, done = divmod(first, size)

        def run(epoch):
            records = self._epoch(reading.split, reading.seed, epoch)
            skip = tf.where(
                tf.equal(epoch, first_epoch),
                tf.constant(done, tf.int64),
                tf.constant(0, tf.int64),
            )
            return records.skip(skip).map(lambda record: dict(record, epoch=epoch))

        epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)
        records = epochs.flat_map(run)
        if share.block * share.per_step != share.batch_size:  # Other workers' too.
            records = records.enumerate(start=first)
            records = records.filter(lambda position, _: share.holds(position))
            records = records.map(lambda _, record: record)
        return self._decoded(self._loaded(records, reading), reading)

    def _loaded(self, records, reading):
        """Parses records and puts them into batches."""
        examples = records.map(
            self._load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        return examples.batch(reading.share.block, drop_remainder=reading.training)

    def _epoch(self, split, seed=None, epoch=None):
        """Dataset of the records of one epoch, in their order.

        Args:
          split: name of the split.
          seed: Python int, or None for the natural order.
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
                return tf.equal(is_validation_example(ids, self._fraction), part.side)

            def describe(place, serialized):
                return {
                    'serialized': serialized,
                    'name': tf.strings.join(
                        [names[number], ':', tf.strings.as_string(place)]
                    ),
                    'index': starts[number] + place - skips[number],
                }

            records = _numbered_records(part.shards, number)
            if part.side is not None:
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
        # `shuffle` also mixes in the seed of the graph that it is in. This one is
        # the graph of the function given to `flat_map`, and so nobody else's.
        tf.compat.v1.set_random_seed(1)
        return records.shuffle(
            min(self._shuffle_buffer, part.count),
            seed=_shuffle_seed(seed, epoch),
            reshuffle_each_iteration=False,
        )

    def _load(self, record):
        """Parses a record from `_epoch` and checks its label."""
        parsed = self._parse(record['serialized'], record['name'])
        label = tf.cast(parsed['label'], tf.int64)
        last = len(self._numbers) - 1
        good = tf.logical_and(label >= 0, label <= last)
        message = corrupt_example(
            parsed['key'],
            f'its label must be from 0 to {last}, got ',
            tf.strings.as_string(label),
        )
        with tf.control_dependencies([tf.debugging.Assert(good, [message])]):
            label = tf.gather(self._numbers, label)
        # By their names bad images are counted: several may have the same key.
        left_out = {'serialized'} | ({'name'} if self.corrupt_images is None else set())
        rest = {k: v for k, v in record.items() if k not in left_out}
        return dict(rest, data=parsed['data'], key=parsed['key'], label=label)

    def labels(self, split):
        """See `DataSource`; reads all records once, and decodes none."""
        return self._all_of(split, 'label')

    def fingerprint(self, split):
        part = self._parts[split]
        records = [(shard.count, shard.skip) for shard in part.shards]
        chosen = None if part.chosen is None else np.flatnonzero(part.chosen).tolist()
        what = [records, part.side, part.count, self._numbers.tolist(), chosen]
        paths = [shard.path for shard in part.shards]
        return f'{stamp(paths)} {zlib.crc32(repr(what).encode())}'

    def _restrict(self, places, numbers):
        for split, kept in places.items():
            part = self._parts[split]
            chosen = np.zeros(sum(shard.count for shard in part.shards), bool)
            chosen[self._all_of(split, 'index')[kept]] = True
            self._parts[split] = dataclasses.replace(
                part, count=len(kept), chosen=chosen
            )
        self._numbers = numbers

    def _all_of(self, split, what):
        """One number of each example of a split, in natural order."""

        def dataset():
            examples = self._epoch(split).map(self._load, tf.data.AUTOTUNE, True)
            return examples.map(lambda example: example[what]).batch(1024)

        try:
            return np.concatenate(list(as_numpy_batches(dataset)))
        except tf.errors.OpError as error:
            raise DataError(self.explain(error) or short_reason(error)) from None

    def encoded(self, split, indices=None):
        """See `DataSource`; records before the wanted ones have to be read too."""
        self._check_split(split)
        wanted = None if indices is None else iter(indices)
        want = next(wanted, None) if wanted else 0

        def dataset():
            return self._epoch(split).map(self._load, 2, True).prefetch(16)

        if want is None:
            return
        for number, example in enumerate(as_numpy_batches(dataset)):
            if wanted:
                if number != want:
                    continue
                want = next(wanted, None)
            key = example['key'].decode('utf-8', 'replace')
            yield key, example['data'], int(example['label'])
            if want is None:
                return

    def sample(self, split, count=64):
        self._check_split(split)
        return sample_images(self._parts[split].shards, self._parse, count)

    def explain(self, error):
        if self._stopped():
            return self._stopped()
        # To find a corrupt image takes decoding all; a corrupt record, reading.
        decode = isinstance(error, tf.errors.InvalidArgumentError)
        return listed(self.unreadable(limit=10, decode=decode), 10)

    def unreadable(self, limit=None, decode=True):
        """See `EncodedSource`.

        Args:
          limit: stop after so many.
          decode: decode the images; otherwise the records are read only.

        Returns:
          List of (file and number of the record, what is wrong).
        """
        bad, done = [], set()
        for part in self._parts.values():
            for shard in part.shards:
                if shard in done:  # Training and held-out records lie together.
                    continue
                done.add(shard)
                bad += self._unreadable_in(shard, decode)
                if limit and len(bad) >= limit:
                    return bad[:limit]
        return bad

    def _unreadable_in(self, shard, decode):
        if not os.path.exists(shard.path):
            return [(shard.path, 'is not there')]
        places = range(shard.skip, shard.skip + shard.count)
        if decode:
            good = _numbers(lambda: self._attempts(shard))
            if len(good) == shard.count:
                return []
        whole = _whole_records(shard)
        bad = []
        if decode:
            for place in places:
                if place in whole and place not in good:
                    bad.append(
                        (f'{shard.path}, record {place}', self._why(shard, place))
                    )
        return bad + _lost_record(shard, whole)

    def _attempts(self, shard):
        def attempt(place, serialized):
            name = tf.strings.join([shard.name, ':', tf.strings.as_string(place)])
            example = self._load({'serialized': serialized, 'name': name})
            # All of it: damage may lie outside the middle.
            image = self.decode(example['data'], example['key'], whole_window)
            with tf.control_dependencies([image, example['label']]):
                return tf.identity(place), tf.constant('')

        records = _numbered_records([shard], check=False)
        return records.map(attempt, num_parallel_calls=tf.data.AUTOTUNE)

    def _why(self, shard, place):
        only = dataclasses.replace(shard, skip=place, count=1)
        try:
            for _ in as_numpy_batches(lambda: self._attempts(only)):
                pass
        except tf.errors.OpError as error:
            return short_reason(error)
        return 'could not be read a moment ago'


def sample_images(shards, parse, count=64):
    """Reads a few encoded images, some from each of up to `count` shards.

    Args:
      shards: list of `Shard`.
      parse: see `TFRecordSource`.
      count: number of images, about.

    Returns:
      List of bytes.

    Raises:
      DataError: they cannot be read.
    """
    some = [shard for shard in shards if shard.count][:count]
    each = -(-count // max(1, len(some)))
    some = [dataclasses.replace(s, count=min(s.count, each)) for s in some]

    def dataset():
        records = tf.data.Dataset.range(len(some)).flat_map(
            lambda number: _numbered_records(some, number)
        )
        return records.map(lambda _, serialized: parse(serialized, '')['data'])

    try:
        return list(as_numpy_batches(dataset, count))
    except tf.errors.OpError as error:
        lost = [x for shard in some for x in _lost_record(shard, _whole_records(shard))]
        where, why = (lost or [(some[0].path, short_reason(error))])[0]
        raise DataError(f'{where}: {why}') from None


def record_dataset(paths, compression):
    """Dataset of the serialized records of some files, in natural order."""
    # Its default of 256 kB, which it would announce in a log line for every file.
    return tf.data.TFRecordDataset(paths, compression, buffer_size=1 << 18)


def corrupt_example(key, *words):
    """Joins a message about one example, such as `DataSource.explain` looks for."""
    return tf.strings.join([NOT_A_IMAGE + ' <', key, '>: ', *words])


def _numbered_records(shards, number=0, check=True):
    """Dataset of (number of the record in its file, record).

    Args:
      shards: list of `Shard`.
      number: which of them, int or int64 scalar.
      check: fail if there are fewer records than the shard says.

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


def _numbers(make):
    """Set of the numbers of those records of a dataset that raise no error."""
    numbers = set()
    dataset = as_numpy_batches(
        lambda: make().map(lambda n, _: n).ignore_errors().batch(256)
    )
    for batch in dataset:
        numbers.update(batch.tolist())
    return numbers


def _whole_records(shard):
    """Set of the numbers of the records of a shard that can be read."""
    return _numbers(lambda: _numbered_records([shard], check=False))


def _lost_record(shard, whole):
    """List of (where, why) of the record at which reading a shard breaks off."""
    places = range(shard.skip, shard.skip + shard.count)
    # A reader cannot go on behind a corrupt record: the first is all there is.
    lost = next((place for place in places if place not in whole), None)
    return [] if lost is None else [(f'{shard.path}, record {lost}', _why_lost(shard))]


def _why_lost(shard):
    try:
        count = count_records(shard.path, shard.compression)
    except DataError as error:
        return str(error)
    if count < shard.skip + shard.count:
        return f'the file has {count} records, where {shard.skip + shard.count} belong'
    return 'its data do not match their checksum: a bit has flipped; get the file again'


def record_ids(shard):
    """uint64 [count]: what tells the records of a shard from all others."""
    places = np.arange(shard.skip, shard.skip + shard.count, dtype=np.uint64)
    return places + np.uint64(mix_text(shard.name))


def _shuffle_seed(seed, epoch):
    bits = epoch_seed(seed, epoch)[0]
    # 31 bits: `shuffle` takes the seed modulo the largest int32.
    return tf.cast(tf.bitwise.right_shift(bits, tf.constant(33, tf.uint64)), tf.int64)
