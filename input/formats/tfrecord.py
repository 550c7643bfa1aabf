"""Sharded TFRecord files with the common features of image datasets."""

import collections
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from estimator_clf.core.errors import DataError, is_out_of_memory
from estimator_clf.core.registry import register
from input.dataset_info import DatasetInfo
from input.images.image_shape import infer_image_shape
from input.images.tf_messages import short_reason
from input.sources.base import as_numpy_batches
from input.sources.records import (
    Parser,
    corrupt_example,
    record_dataset,
    sample_images,
)
from input.sources.tfrecords import SHUFFLE_BUFFER, TFRecordSource
from input.text_files import read_names
from input.tfrecord.files import Shard, compression_of, count_records
from input.tfrecord.manifest import Manifest, read_manifest
from input.tfrecord.shard_names import find_shards

_NO_LABEL = np.iinfo(np.int64).min
_KINDS = {'bytes_list': 'text', 'int64_list': 'integer', 'float_list': 'float'}
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
    for split, paths in find_shards(data_dir).items():
        splits[split] = [_shard(path, given, manifest) for path in paths]
        if not any(shard.count for shard in splits[split]):
            raise DataError(f'{data_dir}: the split {split!r} has no records')
    if manifest:
        manifest.check_complete(splits)
    keys = (image_key, label_key, text_key)
    _check_features(splits, *keys)
    listed = names_in_file(data_dir, manifest)
    class_names = (
        listed
        or (manifest.class_names if manifest else None)
        or _collect_names(splits['train'], label_key, text_key, label_offset)
    )
    if not class_names:
        raise DataError(
            f'The records of {data_dir} have neither a label in {label_key!r} nor the '
            f'name of a class in {text_key!r}; set `label_key` or `text_key` to the '
            'feature with the class'
        )
    if len(class_names) < 2:
        raise DataError(
            f'A classifier needs at least two classes; {data_dir} has only '
            f'{class_names[0]!r}'
        )
    parse = _parser(*keys, label_offset, class_names)
    notes: list[str] = []
    if manifest and not image_size and channels in (None, manifest.image_shape[-1]):
        shape = manifest.image_shape
        if info is None and not validation_split:
            info = manifest.info
    else:
        images = sample_images(splits['train'], parse)
        shape = infer_image_shape(images, image_size, channels, notes)
    name = 'tfrecord:' + os.path.basename(os.path.abspath(data_dir))
    source = TFRecordSource(
        name, class_names, shape, splits, parse, validation_split, shuffle_buffer, info
    )
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
    directory = data_dir if os.path.isdir(data_dir) else os.path.dirname(data_dir)
    path = os.path.join(directory, 'labels.txt')
    if not os.path.isfile(path):
        return None
    names = read_names(path)
    if manifest and names == [name.strip() for name in manifest.class_names]:
        return manifest.class_names
    if names and all(n.startswith(f'{i}:') for i, n in enumerate(names)):
        names = [n.partition(':')[2].strip() for n in names]
    if not names:
        raise DataError(f'{path} must contain the names of the classes, one per line')
    return names


def _check_features(
    splits: Mapping[str, Sequence[Shard]], image_key: str, label_key: str, text_key: str
) -> None:
    """Checks that the first record of each split has the features."""
    for shards in splits.values():
        shard = next(shard for shard in shards if shard.count)
        kinds = _first_kinds(shard)
        listed = ', '.join(f'{name} ({kind})' for name, kind in sorted(kinds.items()))
        where = f'The first record of {shard.path}'
        if kinds.get(image_key) != 'text':
            raise DataError(
                f'{where} has no feature {image_key!r} of bytes; it has: {listed}. '
                'Set `image_key` to the one with the encoded image'
            )
        if kinds.get(label_key, 'integer') != 'integer':
            raise DataError(
                f'{where}: the feature {label_key!r} must be one integer, not '
                f'{kinds[label_key]}; for a class name set `text_key`'
            )
        if label_key not in kinds and kinds.get(text_key) != 'text':
            raise DataError(
                f'{where} has neither {label_key!r} nor {text_key!r}; it has: '
                f'{listed}. Set `label_key` or `text_key` to the one with the class'
            )


def _first_kinds(shard: Shard) -> dict[str, str]:
    """Returns dict name -> kind of each feature of the first record of a file."""

    def first():
        return record_dataset(shard.path, shard.compression).take(1)

    try:
        (serialized,) = as_numpy_batches(first)
        example = tf.train.Example.FromString(serialized)
    except tf.errors.OpError as error:
        if is_out_of_memory(error):
            raise
        raise DataError(
            f'{shard.path}: its first record is corrupt ({short_reason(error)}); get '
            'the file again'
        ) from None
    except Exception as error:  # Of protobuf; which class depends on its version.
        if is_out_of_memory(error):
            raise
        raise DataError(
            f'{shard.path} contains records that are not a tf.train.Example: {error}'
        ) from None
    kinds = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof('kind')
        if kind:
            count = len(getattr(feature, kind).value)
            kinds[name] = _KINDS[kind] if count == 1 else f'{count} x {_KINDS[kind]}'
    return kinds


def _label_features(label_key: str, text_key: str) -> dict[str, Any]:
    return {
        label_key: tf.io.FixedLenFeature([], tf.int64, _NO_LABEL),
        text_key: tf.io.FixedLenFeature([], tf.string, ''),
    }


def _collect_names(
    shards: Sequence[Shard], label_key: str, text_key: str, label_offset: int
) -> list[str]:
    """Finds the class names by reading all records once."""
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
        raise DataError(
            f'The records of {os.path.dirname(shards[0].path)} cannot be read: '
            f'{short_reason(error)}'
        ) from None
    labels = sorted({label for label, _ in pairs if label != _NO_LABEL})
    if not labels:
        return sorted({text for _, text in pairs if text})
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
