"""Sharded TFRecord files with the features that the field uses for images."""

import collections
import os

import numpy as np
import tensorflow as tf

from estimator_clf.core.errors import DataError
from estimator_clf.core.registry import register
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
from input.tfrecord.manifest import read_manifest
from input.tfrecord.shard_names import find_shards

_NO_LABEL = np.iinfo(np.int64).min
_KINDS = {'bytes_list': 'text', 'int64_list': 'integer', 'float_list': 'float'}
_COMPRESSIONS = ('GZIP', 'ZLIB')


@register('tfrecord')
def tfrecord(
    data_dir,
    *,
    image_size=None,
    channels=None,
    validation_split=0.0,
    compression=None,
    image_key='image/encoded',
    label_key='image/class/label',
    text_key='image/class/text',
    label_offset=0,
    shuffle_buffer=SHUFFLE_BUFFER,
    info=None,
):
    """Sharded TFRecords of encoded images, as `launch.convert` writes them.

    Where a label is missing, the text gives it. The number of records is taken from
    `manifest.json`, if there is one; otherwise the files are walked through. The names
    of the classes are the lines of `labels.txt`, else the manifest's, else those found
    in one pass over the training records.

    Args:
      data_dir: directory of `<split>-00000-of-00008`, `<split>.tfrecord` or
        `<split>/…`, see `input.tfrecord.shard_names.find_shards`; or one file.
      image_size: int or 'HEIGHTxWIDTH'; by default the manifest's, else see
        `input.images.image_shape.infer_image_shape`.
      channels: 1 or 3.
      validation_split: share of the training records to hold out.
      compression: 'GZIP', 'ZLIB' or 'none'; by default the files tell.
      image_key: name of the feature with the encoded image.
      label_key: name of the feature with the class's number.
      text_key: name of the feature with the class's name.
      label_offset: what the records count the first class as: 1 for ImageNet's.
      shuffle_buffer: number of records to draw from, see `TFRecordSource`.
      info: see `DataSource`.

    Returns:
      A `TFRecordSource`.

    Raises:
      DataError: no such files, a missing, corrupt or shortened one, features that
        the records do not have, fewer than two classes.
    """
    if not data_dir:
        raise DataError('`data_dir` is needed for `dataset=tfrecord`')
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
    class_names = (
        names_in_file(data_dir, manifest)
        or (manifest.class_names if manifest else None)
        or _collect_names(splits['train'], label_key, text_key, label_offset)
    )
    if not class_names:
        raise DataError(
            f'The records of {data_dir} have neither a label in {label_key!r} nor the '
            f'name of a class in {text_key!r}; name the feature with the class by '
            '`label_key` or `text_key`'
        )
    if len(class_names) < 2:
        raise DataError(
            f'A classifier needs at least two classes; {data_dir} has only '
            f'{class_names[0]!r}'
        )
    parse = _parser(*keys, label_offset, class_names)
    if manifest and not image_size and channels in (None, manifest.image_shape[-1]):
        shape = manifest.image_shape
        if info is None and not validation_split:
            info = manifest.info
    else:
        pictures = sample_images(splits['train'], parse)
        shape = infer_image_shape(pictures, image_size, channels)
    name = 'tfrecord:' + os.path.basename(os.path.abspath(data_dir))
    return TFRecordSource(
        name, class_names, shape, splits, parse, validation_split, shuffle_buffer, info
    )


def _compression(text):
    if not text:
        return None
    if text.upper() not in (*_COMPRESSIONS, 'NONE'):
        raise DataError(f'`compression` must be GZIP, ZLIB or none, got {text!r}')
    return '' if text.upper() == 'NONE' else text.upper()


def _shard(path, compression, manifest):
    found = compression_of(path)
    if compression is not None and compression != found:
        raise DataError(
            f'`compression={compression or "none"}`, but {path} is '
            + (f'{found}; leave `compression` out' if found else 'not compressed')
        )
    count = manifest.count(path) if manifest else None
    if count is None:
        count = count_records(path, found)
    return Shard(path, count, compression=found)


def names_in_file(data_dir, manifest=None):
    """Lines of labels.txt; `0:daisy`, as TF-Slim writes them, is understood too.

    As long as they are those of the manifest, it has the last word: what they begin or
    end with belongs to the names there.
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
        raise DataError(f'{path} must hold the names of the classes, one a line')
    return names


def _check_features(splits, image_key, label_key, text_key):
    """Looks whether the first record of each split has the features."""
    for shards in splits.values():
        shard = next(shard for shard in shards if shard.count)
        kinds = _first_kinds(shard)
        there = ', '.join(f'{name} ({kind})' for name, kind in sorted(kinds.items()))
        where = f'The first record of {shard.path}'
        if kinds.get(image_key) != 'text':
            raise DataError(
                f'{where} has no feature {image_key!r} of bytes; it has: {there}. '
                'Name the one with the encoded image by `image_key`'
            )
        if kinds.get(label_key, 'integer') != 'integer':
            raise DataError(
                f'{where}: the feature {label_key!r} must be one integer, not '
                f'{kinds[label_key]}; a class by name goes by `text_key`'
            )
        if label_key not in kinds and kinds.get(text_key) != 'text':
            raise DataError(
                f'{where} has neither {label_key!r} nor {text_key!r}; it has: {there}. '
                'Name the one with the class by `label_key` or `text_key`'
            )


def _first_kinds(shard):
    """dict name -> kind of each feature of the first record of a file."""

    def first():
        return record_dataset(shard.path, shard.compression).take(1)

    try:
        (serialized,) = as_numpy_batches(first)
        example = tf.train.Example.FromString(serialized)
    except tf.errors.OpError as error:
        raise DataError(
            f'{shard.path}: its first record is corrupt ({short_reason(error)}); get '
            'the file again'
        ) from None
    except Exception as error:  # Of protobuf; which class depends on its version.
        raise DataError(
            f'{shard.path} holds records that are no tf.train.Example: {error}'
        ) from None
    kinds = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof('kind')
        if kind:
            count = len(getattr(feature, kind).value)
            kinds[name] = _KINDS[kind] if count == 1 else f'{count} x {_KINDS[kind]}'
    return kinds


def _label_features(label_key, text_key):
    return {
        label_key: tf.io.FixedLenFeature([], tf.int64, _NO_LABEL),
        text_key: tf.io.FixedLenFeature([], tf.string, ''),
    }


def _collect_names(shards, label_key, text_key, label_offset):
    """Names of the classes from one pass over the records."""
    features = _label_features(label_key, text_key)

    def dataset():
        paths = [shard.path for shard in shards]
        records = record_dataset(paths, shards[0].compression)
        return records.batch(256).map(
            lambda serialized: tf.io.parse_example(serialized, features),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    pairs = collections.Counter()
    try:
        for batch in as_numpy_batches(dataset):
            texts = [text.decode('utf-8', 'replace') for text in batch[text_key]]
            pairs.update(zip(batch[label_key].tolist(), texts, strict=True))
    except tf.errors.OpError as error:
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
    # A flipped bit must not make a network of a million classes.
    if last + 1 > 2 * len(labels) + 10:
        raise DataError(
            f'The labels go up to {labels[-1]}, but there are only {len(labels)} '
            'different ones; if that is right, put the names of the classes into '
            'labels.txt beside the shards, one a line'
        )
    # Of several texts of a label the most frequent one, of these the first by name.
    ranked = sorted(pairs, key=lambda pair: (-pairs[pair], pair))
    texts = {}
    for label, text in ranked:
        if text:
            texts.setdefault(label - label_offset, text)
    names = [texts.get(number, str(number)) for number in range(last + 1)]
    # Texts that do not tell the classes apart are no names.
    return names if len(set(names)) == len(names) else [str(n) for n in range(last + 1)]


def _parser(image_key, label_key, text_key, label_offset, class_names):
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
