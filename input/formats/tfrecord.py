"""Sharded TFRecord files with the common features of image datasets."""

import collections
import contextlib
import itertools
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from estimator_clf.core.class_names import names_fault, natural_order
from estimator_clf.core.errors import DataError, is_out_of_memory
from estimator_clf.core.registry import register
from input.dataset_info import DatasetInfo
from input.images import file_kind
from input.images.image_shape import infer_image_shape
from input.images.tf_messages import short_reason
from input.sources.base import as_numpy_batches
from input.sources.records import (
    Parser,
    corrupt_example,
    invalid_records,
    readable_records,
    record_dataset,
    sample_images,
    unreadable_record,
)
from input.sources.tfrecords import SHUFFLE_BUFFER, TFRecordSource
from input.text_files import read_names
from input.tfrecord import diagnose
from input.tfrecord.diagnose import Features
from input.tfrecord.files import Shard, compression_of, count_records
from input.tfrecord.manifest import Manifest, read_manifest
from input.tfrecord.shard_names import find_shards, unused_files

_NO_LABEL = np.iinfo(np.int64).min
_COMPRESSIONS = ('GZIP', 'ZLIB')


@register('tfrecord')
def tfrecord(
    data_dir: str | None,
    *,
    image_size: int | str | None = None,
    channels: int | None = None,
    validation_split: float = 0.0,
    compression: str | None = None,
    image_key: str = 'image/encoded',
    label_key: str = 'image/class/label',
    text_key: str = 'image/class/text',
    label_offset: int = 0,
    shuffle_buffer: int = SHUFFLE_BUFFER,
    info: DatasetInfo | None = None,
) -> TFRecordSource:
    """Sharded TFRecords of encoded images, as `launch.convert` writes them.

    Where a label is missing, it follows from the text. The number of records is that of
    `manifest.json`, if there is one; otherwise the lengths of the records are read. The
    names of the classes are the lines of `labels.txt`, else the manifest's, else those
    found by reading the training records once.

    Args:
      data_dir: directory of `<split>-00000-of-00008`, `<split>.tfrecord` or
        `<split>/...`, see `input.tfrecord.shard_names.find_shards`; or one file.
      image_size: pixels or 'HEIGHTxWIDTH'; by default the manifest's, else see
        `input.images.image_shape.infer_image_shape`.
      channels: 1 or 3.
      validation_split: fraction of the training records to hold out.
      compression: 'GZIP', 'ZLIB' or 'none'; by default detected from the files.
      image_key: name of the feature with the encoded image.
      label_key: name of the feature with the class's number.
      text_key: name of the feature with the class's name.
      label_offset: label of the first class in the records: 1 for ImageNet's.
      shuffle_buffer: number of records to sample from, see `TFRecordSource`.
      info: see `DataSource`.

    Raises:
      DataError: no such files, a missing, corrupt or truncated one, features that the
        records do not have, fewer than two classes.
    """
    if not data_dir:
        raise DataError('`data_dir` is required for `dataset=tfrecord`')
    given = _compression(compression)
    manifest = read_manifest(data_dir)
    splits = {}
    found = find_shards(data_dir)
    for split, paths in found.items():
        splits[split] = [_shard(path, given, manifest) for path in paths]
        if not any(shard.count for shard in splits[split]):
            raise DataError(f'{data_dir}: the split {split!r} has no records')
    if manifest:
        manifest.check_complete(splits)
    keys = (image_key, label_key, text_key)
    features = Features(*keys, label_offset)
    _check_features(splits, features)
    listed = names_in_file(data_dir, manifest)
    class_names = (
        listed
        or (manifest.class_names if manifest else None)
        or _collect_names(splits['train'], features)
    )
    if not class_names:
        raise DataError(
            f'The records of {data_dir} have neither a label in {label_key!r} nor the '
            f'name of a class in {text_key!r}; set `label_key` or `text_key` to the '
            'feature with the class'
        )
    fault = names_fault(class_names)
    if fault:
        where = labels_file(data_dir) or f'the records of {data_dir}'
        raise DataError(f'{where}: {fault}; rename it there')
    parse = _parser(*keys, label_offset, class_names)
    notes: list[str] = []
    if manifest and not image_size and channels in (None, manifest.image_shape[-1]):
        shape = manifest.image_shape
        if info is None and not validation_split:
            info = manifest.info
    else:
        images = sample_images(splits['train'], parse, features=features)
        shape = infer_image_shape(images, image_size, channels, notes)
    name = 'tfrecord:' + os.path.basename(os.path.abspath(data_dir))
    source = TFRecordSource(
        name,
        class_names,
        shape,
        splits,
        parse,
        validation_split,
        shuffle_buffer,
        info,
        features,
    )
    source.skipped = unused_files(data_dir, found)
    source.notes = notes
    hint = (
        'If the labels of the records start at 1, set the option label_offset=1 of '
        '`dataset`: tfrecord(label_offset=1)'
    )
    if not label_offset:
        if listed and not manifest:
            source.range_hint = hint
        elif not manifest:
            source.absent_hint = hint
    return source


def _compression(text: str | None) -> str | None:
    if not text:
        return None
    if text.upper() not in (*_COMPRESSIONS, 'NONE'):
        raise DataError(f'`compression` must be GZIP, ZLIB or none, got {text!r}')
    return '' if text.upper() == 'NONE' else text.upper()


def _shard(path: str, compression: str | None, manifest: Manifest | None) -> Shard:
    found = compression_of(path)
    if compression is not None and compression != found:
        raise DataError(
            f'`compression={compression or "none"}`, but {path} is '
            + (f'{found}; omit `compression`' if found else 'not compressed')
        )
    count = manifest.count(path) if manifest else None
    if count is None:
        count = count_records(path, found)
    return Shard(path, count, compression=found)


def names_in_file(data_dir: str, manifest: Manifest | None = None) -> list[str] | None:
    """Reads class names from labels.txt; also `0:daisy`, the form of TF-Slim.

    Where they are the manifest's, except for white space around them, the manifest's
    are returned.

    Returns:
      The names, or None without such a file.

    Raises:
      DataError: the file is empty or not UTF-8.
    """
    path = labels_file(data_dir)
    if path is None:
        return None
    names = read_names(path)
    if manifest and names == [name.strip() for name in manifest.class_names]:
        return manifest.class_names
    if names and all(n.startswith(f'{i}:') for i, n in enumerate(names)):
        names = [n.partition(':')[2].strip() for n in names]
    if not names:
        raise DataError(f'{path} must contain the names of the classes, one per line')
    return names


def labels_file(data_dir: str) -> str | None:
    """Returns the path of the file with the class names, or None without one."""
    directory = data_dir if os.path.isdir(data_dir) else os.path.dirname(data_dir)
    path = os.path.join(directory, 'labels.txt')
    return path if os.path.isfile(path) else None


def _check_features(splits: Mapping[str, Sequence[Shard]], features: Features) -> None:
    """Checks the first records of each split: their features, and what the images are.

    A fault of all records is found before the first step, and named as such.
    """
    for shards in splits.values():
        shard = next(shard for shard in shards if shard.count)
        records = _first_records(shard)
        _check_first(shard, records[0], features)
        images = []
        for record in records:
            # A single invalid record is named where it is read.
            with contextlib.suppress(DataError):
                images.append(features.read(record)[0])
        if images and not any(map(file_kind.kind_of, images)):
            what = _raw_pixels(images, records[0]) or file_kind.describe(images[0])
            raise DataError(
                f'{shard.path}: none of the first {len(images)} records has an image '
                f'in {features.image!r}; record 0: {what}'
            )


def _check_first(shard: Shard, serialized: bytes, features: Features) -> None:
    """Checks that a record has the features; the error names the option to set."""
    where = f'The first record of {shard.path}'
    try:
        found = diagnose.parse(serialized)
    except DataError as error:
        raise DataError(
            f'{shard.path} contains records that are not a tf.train.Example: its first '
            f'record: {error}'
        ) from None
    kinds, listed = diagnose.kinds(found), diagnose.listed(found)
    if kinds.get(features.image) != 'text':
        raise DataError(
            f'{where} has no feature {features.image!r} of bytes; it has: {listed}. '
            'Set `image_key` to the one with the encoded image'
        )
    if kinds.get(features.label, 'integer') != 'integer':
        raise DataError(
            f'{where}: the feature {features.label!r} must be one integer, not '
            f'{kinds[features.label]}; for a class name set `text_key`'
        )
    if features.label not in kinds and kinds.get(features.text) != 'text':
        raise DataError(
            f'{where} has neither {features.label!r} nor {features.text!r}; it has: '
            f'{listed}. Set `label_key` or `text_key` to the one with the class'
        )


def _raw_pixels(images: Sequence[bytes], serialized: bytes) -> str | None:
    """Describes images of one length that have no header; None if they do not."""
    sizes = {len(image) for image in images}
    if len(sizes) > 1 or not images[0] or file_kind.name_of(images[0]):
        return None
    (size,) = sizes
    found = diagnose.parse(serialized)
    sides = [
        next((list(found[n].int64_list.value) for n in names if n in found), [])
        for names in (('image/height', 'height', 'rows'), ('image/width', 'width'))
    ]
    shapes = [(*side, *other, c) for side, other in [sides] for c in (1, 3)]
    shapes += [(math.isqrt(size // c), math.isqrt(size // c), c) for c in (1, 3)]
    shape = next((s for s in shapes if len(s) == 3 and math.prod(s) == size), None)
    pixels = f' of {shape[0]} x {shape[1]} x {shape[2]}' if shape else ''
    return (
        f'each has {size} bytes and no header, as raw pixels{pixels} have; write them '
        'as PNG (tf.io.encode_png), or read them as arrays (`input.from_arrays`)'
    )


def _first_records(shard: Shard, count: int = 4) -> list[bytes]:
    """Reads the first records of a file."""

    def first():
        return record_dataset(shard.path, shard.compression).take(count)

    try:
        return list(as_numpy_batches(first))
    except tf.errors.OpError as error:
        if is_out_of_memory(error):
            raise
        lost = unreadable_record(shard, readable_records(shard))
        where, reason = (lost or [(shard.path, short_reason(error))])[0]
        raise DataError(f'{where} is corrupt: {reason}') from None


def _label_features(label_key: str, text_key: str) -> dict[str, Any]:
    return {
        label_key: tf.io.FixedLenFeature([], tf.int64, _NO_LABEL),
        text_key: tf.io.FixedLenFeature([], tf.string, ''),
    }


def _collect_names(shards: Sequence[Shard], keys: Features) -> list[str]:
    """Finds the class names by reading all records once."""
    label_key, text_key, label_offset = (
        keys.label,
        keys.text,
        keys.offset,
    )
    features = _label_features(label_key, text_key)

    def dataset():
        paths = [shard.path for shard in shards]
        records = record_dataset(paths, shards[0].compression)
        return records.batch(256).map(
            lambda serialized: tf.io.parse_example(serialized, features),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    pairs: collections.Counter[tuple[int, str]] = collections.Counter()
    try:
        for batch in as_numpy_batches(dataset):
            texts = [text.decode('utf-8', 'replace') for text in batch[text_key]]
            pairs.update(zip(batch[label_key].tolist(), texts, strict=True))
    except tf.errors.OpError as error:
        if is_out_of_memory(error):
            raise
        lost = (x for s in shards for x in unreadable_record(s, readable_records(s)))
        invalid = (x for s in shards for x in invalid_records(s, keys))
        directory = os.path.dirname(shards[0].path)
        where, reason = next(
            itertools.chain(lost, invalid), (directory, short_reason(error))
        )
        raise DataError(f'{where}: {reason}') from None
    labels = sorted({label for label, _ in pairs if label != _NO_LABEL})
    if not labels:
        return natural_order({text for _, text in pairs if text})
    first, last = labels[0] - label_offset, labels[-1] - label_offset
    if first < 0:
        raise DataError(
            f'The smallest label is {labels[0]}, which is less than '
            f'`label_offset={label_offset}`'
        )
    # A flipped bit must not result in a network of a million classes.
    if last + 1 > 2 * len(labels) + 10:
        raise DataError(
            f'The labels go up to {labels[-1]}, but there are only {len(labels)} '
            'different ones; if that is correct, write the names of the classes to '
            'labels.txt next to the shards, one per line'
        )
    # Of several texts of a label the most frequent one; of equals the first by name.
    ranked = sorted(pairs, key=lambda pair: (-pairs[pair], pair))
    text_of: dict[int, str] = {}
    for label, text in ranked:
        if text:
            text_of.setdefault(label - label_offset, text)
    names = [text_of.get(number, str(number)) for number in range(last + 1)]
    # Texts are not used as names where two classes share one.
    return names if len(set(names)) == len(names) else [str(n) for n in range(last + 1)]


def _parser(
    image_key: str,
    label_key: str,
    text_key: str,
    label_offset: int,
    class_names: Sequence[str],
) -> Parser:
    features = {
        image_key: tf.io.FixedLenFeature([], tf.string),
        'image/filename': tf.io.FixedLenFeature([], tf.string, ''),
        **_label_features(label_key, text_key),
    }

    def parse(serialized, name):
        parsed = tf.io.parse_single_example(serialized, features)
        file_name, text = parsed['image/filename'], parsed[text_key]
        key = tf.where(tf.equal(file_name, ''), name, file_name)

        def named():
            same = tf.equal(tf.constant(list(class_names)), text)
            message = corrupt_example(
                key, 'it has no label, and no class is called ', text
            )
            known = tf.debugging.Assert(tf.reduce_any(same), [message])
            with tf.control_dependencies([known]):
                return tf.argmax(same, output_type=tf.int64)

        label = parsed[label_key]
        missing = tf.equal(label, _NO_LABEL)
        label = tf.cond(missing, named, lambda: label - label_offset)
        return {'data': parsed[image_key], 'key': key, 'label': label}

    return parse
