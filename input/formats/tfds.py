"""TensorFlow Datasets: any of its image-classification datasets, by name."""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from estimator_clf.core.errors import DataError
from estimator_clf.core.registry import register, suggest
from input.dataset_info import DatasetInfo
from input.images.image_shape import infer_image_shape, limit_size
from input.sources.records import Parser, sample_images
from input.sources.tfrecords import SHUFFLE_BUFFER, TFRecordSource
from input.split_names import canonical
from input.tfrecord.files import Shard, count_records


@register('tfds')
def tfds(
    data_dir: str | None,
    *,
    variant: str,
    image_size: int | str | None = None,
    channels: int | None = None,
    validation_split: float = 0.0,
    train_split: str = 'train',
    eval_split: str | None = None,
    shuffle_buffer: int = SHUFFLE_BUFFER,
    info: DatasetInfo | None = None,
) -> TFRecordSource:
    """TensorFlow Datasets by name; downloaded if it is not on disk.

    The encoded images in the records are decoded as those of any other format. The
    splits have the names of TFDS, with `val` and similar renamed to 'validation'; a
    requested slice is an additional split of that name.

    Args:
      data_dir: TFDS's directory of datasets; by default its own,
        `~/tensorflow_datasets`.
      variant: NAME, NAME/CONFIG or NAME/CONFIG:VERSION.
      image_size: pixels or 'HEIGHTxWIDTH'; by default that of TFDS, else see
        `input.images.image_shape.infer_image_shape`.
      channels: 1 or 3.
      validation_split: fraction of the training records to hold out.
      train_split: split to train on, also a slice: 'train[:80%]'.
      eval_split: split to evaluate, also a slice: 'train[80%:]'.
      shuffle_buffer: number of records to sample from, see `TFRecordSource`.
      info: see `DataSource`.

    Raises:
      DataError: no such dataset, one that cannot be downloaded, does not consist of
        images with a class each, or is not in TFRecord files; no such split; a slice
        for evaluation that overlaps the one for training.
    """
    library = _import()
    builder = _prepared(library, variant, data_dir)
    image, label = _features(library, builder, variant)
    names: dict[str, str] = {}
    for name in builder.info.splits:
        names.setdefault(canonical(name) or name, name)
    if train_split != 'train':
        # First, since pixel statistics are computed from the first split; and instead
        # of the whole, which contains it.
        names.pop('train', None)
        names = {train_split: names.get(train_split, train_split), **names}
    if eval_split:
        names.setdefault(eval_split, eval_split)
    splits = {key: _shards(builder, variant, name) for key, name in names.items()}
    if train_split not in splits:
        raise DataError(
            f'tfds:{variant} has no split to train on called {train_split!r}; it has: '
            + ', '.join(builder.info.splits)
        )
    if eval_split and eval_split != train_split:
        _check_apart(splits, train_split, eval_split)
    for name in set(splits) - {train_split, eval_split}:
        # Examples of the training split are not evaluated.
        if _overlap(splits[train_split], splits[name]):
            del splits[name]
    if validation_split and train_split != 'train':
        raise DataError(
            f'`validation_split` cannot be combined with `train_split={train_split}`; '
            'slice both: `train_split=train[:90%]` `eval_split=train[90%:]`'
        )
    features = builder.info.features
    class_names = _class_names(features[label], variant)
    parse = _parser(library, features, image, label)
    notes: list[str] = []
    shape = _shape(
        features[image], splits[train_split], parse, image_size, channels, notes
    )
    source = TFRecordSource(
        f'tfds:{variant}',
        class_names,
        shape,
        splits,
        parse,
        validation_split,
        shuffle_buffer,
        info,
    )
    source.notes = notes
    return source


def _import() -> Any:
    """Imports TFDS without the log lines of it and its dependencies."""
    logger = logging.getLogger('absl')
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            import tensorflow_datasets

            # Where an import inside of it fails, the module exists, but is empty.
            _ = tensorflow_datasets.core.DatasetBuilder
    except Exception as error:
        cause = error.__context__ or error
        raise DataError(
            'tensorflow-datasets cannot be imported '
            f'({type(cause).__name__}: {_first_line(cause)}); install it again: '
            'pip install -U tensorflow-datasets, and with TensorFlow 2.15 '
            "'tensorflow-metadata<1.18'"
        ) from error
    finally:
        logger.setLevel(level)
    return tensorflow_datasets


def _prepared(library: Any, variant: str, data_dir: str | None) -> Any:
    """Returns the builder of a dataset; downloads the dataset if necessary."""
    try:
        builder = library.builder(variant, data_dir=data_dir, try_gcs=False)
    except library.core.DatasetNotFoundError:
        name = variant.partition('/')[0].partition(':')[0]
        near = suggest(name, library.list_builders())
        raise DataError(
            f'`dataset=tfds:{variant}`: TensorFlow Datasets has no {name!r}'
            + (f', nor has {data_dir}' if data_dir else '')
            + f'{near} See https://www.tensorflow.org/datasets/catalog'
        ) from None
    except Exception as error:  # Assertions, for a version; ValueErrors, for a config.
        raise DataError(f'`dataset=tfds:{variant}`: {_first_line(error)}') from error
    if not builder.is_prepared():
        try:
            with contextlib.redirect_stdout(sys.stderr):
                builder.download_and_prepare()
        except Exception as error:  # Its hundred builders raise any.
            raise DataError(
                f'tfds:{variant} is not in {builder.data_path}, and downloading and '
                f'preparing it failed: {type(error).__name__}: {_first_line(error)}'
            ) from error
    found = builder.info.file_format
    if found is not None and found.value != 'tfrecord':
        raise DataError(
            f'tfds:{variant} must be in TFRecord files, but in {builder.data_path} it '
            f'is in {found.value}; prepare it again: tfds build {variant} '
            '--file_format=tfrecord, with another `data_dir`'
        )
    return builder


def _features(library: Any, builder: Any, variant: str) -> tuple[str, str]:
    """Returns the names of the features with the image and the class."""
    features = dict(builder.info.features.items())
    kinds = library.features
    keys: Any = builder.info.supervised_keys or ()
    if not (len(keys) == 2 and all(isinstance(k, str) and k in features for k in keys)):
        keys = [
            [name for name, feature in features.items() if type(feature) is kind]
            for kind in (kinds.Image, kinds.ClassLabel)
        ]
        keys = [names[0] if len(names) == 1 else None for names in keys]
    image, label = keys
    valid = isinstance(features.get(image), kinds.Image) and isinstance(
        features.get(label), kinds.ClassLabel
    )
    if not valid:
        listed = ', '.join(f'{k} ({type(f).__name__})' for k, f in features.items())
        raise DataError(
            f'tfds:{variant} must have one Image and one ClassLabel for each example; '
            f'it has: {listed}'
        )
    dtype = np.dtype(features[image].np_dtype)
    if dtype not in (np.uint8, np.uint16):
        raise DataError(f'tfds:{variant} must have images of uint8, got {dtype}')
    return image, label


def _class_names(feature: Any, variant: str) -> list[str]:
    names = feature.names or [str(n) for n in range(feature.num_classes or 0)]
    if len(names) < 2:
        raise DataError(
            f'A classifier needs at least two classes; tfds:{variant} has {len(names)}'
        )
    return names


def _shards(builder: Any, variant: str, split: str) -> list[Shard]:
    """Returns the shards of a split or slice, in TFDS's order."""
    try:
        chosen = builder.info.splits[split]
    except Exception as error:  # KeyError, ValueError, AssertionError: its parser's.
        raise DataError(
            f'tfds:{variant} has no split {split!r}; it has: '
            f'{", ".join(builder.info.splits)}, and slices such as train[:80%]'
        ) from error
    shards, size = [], 0
    for part in chosen.file_instructions:
        path = os.fspath(part.filename)
        if not os.path.isfile(path):
            raise DataError(f'The shard {path} of tfds:{variant} is missing')
        size += os.path.getsize(path)
        shards.append(Shard(path, part.take, part.skip))
    if split in builder.info.splits.keys():
        # TFRecord adds 16 bytes a record. Records are counted only where this does not
        # match: walking through 1,000 files on a cold disk takes minutes.
        if size != chosen.num_bytes + 16 * chosen.num_examples:
            for shard in shards:
                count = count_records(shard.path)
                if count != shard.skip + shard.count:
                    raise DataError(
                        f'{shard.path} must have {shard.skip + shard.count} records, '
                        f'got {count}; prepare tfds:{variant} again'
                    )
    return shards


def _check_apart(
    splits: dict[str, list[Shard]], train_split: str, eval_split: str
) -> None:
    common = _overlap(splits[train_split], splits[eval_split])
    if common:
        path, first, last = common
        raise DataError(
            f'`train_split={train_split}` and `eval_split={eval_split}` must '
            f'not overlap; both contain records {first} to {last} of {path}'
        )


def _overlap(
    one: Sequence[Shard], other: Sequence[Shard]
) -> tuple[str, int, int] | None:
    """Returns (path, first, last) of the first records that two splits share."""
    for a in one:
        for b in other:
            first, end = max(a.skip, b.skip), min(a.skip + a.count, b.skip + b.count)
            if a.path == b.path and first < end:
                return a.path, first, end - 1
    return None


def _parser(library: Any, features: Any, image: str, label: str) -> Parser:
    """Returns the `parse` of `TFRecordSource`: two features, the image encoded."""
    skip = {image: library.decode.SkipDecoding()}
    # As `PartialDecoding`, without its warning.
    part = library.features.FeaturesDict({k: features[k] for k in (image, label)})

    def parse(serialized, name):
        example = part.deserialize_example(serialized, decoders=skip)
        return {'data': example[image], 'key': name, 'label': example[label]}

    return parse


def _shape(
    feature: Any,
    shards: Sequence[Shard],
    parse: Parser,
    image_size: int | str | None,
    channels: int | None,
    notes: list[str],
) -> tuple[int, int, int]:
    height, width, depth = feature.shape
    if image_size is None and height and width:
        height, width = limit_size(height, width, notes)
        image_size = f'{height}x{width}'
    if channels is None and depth:
        channels = 1 if depth == 1 else 3
    images = []
    if image_size is None or channels is None:
        images = sample_images(shards, parse)
    return infer_image_shape(images, image_size, channels, notes)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or ['']
    return lines[0][:300]
