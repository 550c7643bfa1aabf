"""The input pipeline: read, decode, skip corrupt, augment, format, prefetch.

`make_dataset` is the whole path of an image from a source to a batch, a chain of the
functions below it. AutoGraph is off in all of them (see `DataSource.input_fn`): there
is no Python `if`, `for`, `and` or `not` over tensors here, nor may there be.

A batch on its way is a dict of tensors with b examples in the first dimension:

    'path', 'data' or 'image'  where an image is, its bytes, or its pixels [b, H, W, C]
    'key', 'label'             name and class of each example
    'epoch', 'index'           what, with the seed, its random numbers follow from
    'name'                     what identifies an example whose key is not unique

(for regression 'x', float32 [b, D], in place of an image).
"""

import dataclasses
import functools
from typing import Any, Protocol

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from input import augment
from input.corrupt_images import CorruptImages
from input.images import decode as decoding
from input.sampling.index_shuffle import Share
from input.sampling.stateless_random import ExampleRng, PrecomputedRng
from input.sources.encoded import read_encoded, record_corrupt, why_unreadable
from input.sources.input_wait import timed

Batch = dict[str, tf.Tensor]
AugmentOps = tuple[tuple[str, Any], ...]

# What an example carries until it is decoded.
_ENCODED = ('path', 'data', 'window_rng')


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """How a split is read.

    Attributes:
      split: name of the split.
      share: this worker's share of each batch.
      training: endless and shuffled; otherwise once, in natural order.
      seed: seed of order and augmentation.
      start_step: the first step to read.
      augment_ops: parsed augmentation, see `input.augment.parse`.
      eval_crop: fraction of the largest central window's sides that is used.
      sampling: see `input.sampling.class_balance`.
      with_index: adds the feature 'index'.
      pack: number of steps whose batches form one element.
      time_input: adds the feature 'input_wait'.
      use_cache: may fill and read the source's in-memory cache.
      max_image_pixels: see `DataSource`.
    """

    split: str
    share: Share
    training: bool = False
    seed: int = 0
    start_step: int = 0
    augment_ops: AugmentOps = ()
    eval_crop: float = 1.0
    sampling: str = 'natural'
    with_index: bool = False
    pack: int = 1
    time_input: bool = False
    use_cache: bool = True
    max_image_pixels: int = decoding.MAX_IMAGE_PIXELS

    @property
    def order_seed(self) -> int | None:
        """Seed of the permutation, or None for the natural order."""
        return self.seed if self.training else None


class ExampleReader(Protocol):
    """The part of a `DataSource` that the pipeline uses."""

    class_names: tuple[str, ...]
    image_shape: tuple[int, ...]
    corrupt_images: CorruptImages | None

    def read(self, options: ReadOptions) -> tf.data.Dataset:
        """Returns the examples in batches, in order; see `DataSource.read`."""


def make_dataset(source: ExampleReader, options: ReadOptions) -> tf.data.Dataset:
    """Builds the dataset that an input_fn returns.

    Args:
      source: where the examples come from.
      options: how to read them.

    Returns:
      Dataset of (features, labels), see `DataSource.input_fn`.
    """
    dataset, ops = source.read(options), options.augment_ops
    if {'path', 'data'} & set(dataset.element_spec):
        # An encoded image is cropped while it is decoded.
        ops = tuple(op for op in ops if op[0] != 'resized_crop')
        dataset = sample_windows(dataset, options)
        if source.corrupt_images is None:
            dataset = decode(dataset, options, source.image_shape)
        else:
            dataset = decode_and_skip_corrupt(
                dataset, options, source.image_shape, source.corrupt_images
            )
    dataset = augment_and_format(dataset, ops, options, len(source.class_names))
    dataset = split_packs(dataset, options.pack)
    dataset = dataset.prefetch(tf.data.AUTOTUNE)
    if options.time_input:
        dataset = timed(dataset)
    return dataset.with_options(dataset_options())


def sample_windows(batches: tf.data.Dataset, options: ReadOptions) -> tf.data.Dataset:
    """Samples the random numbers of crop windows, for a whole batch at a time.

    For one image at a time the hash would cost a fifth of decoding it, see
    `PrecomputedRng`.
    """
    if _min_area(options) is None:
        return batches

    def sample(batch):
        rng = ExampleRng(options.seed, batch['epoch'], batch['index'])
        return dict(batch, window_rng=rng.ahead(decoding.WINDOW_PURPOSES))

    return batches.map(sample)


def decode(
    batches: tf.data.Dataset, options: ReadOptions, image_shape: tuple[int, ...]
) -> tf.data.Dataset:
    """Decodes images in parallel; the first corrupt one is an error."""

    def with_image(example):
        rest = {name: example[name] for name in example if name not in _ENCODED}
        return dict(rest, image=read_and_decode(example, options, image_shape))

    examples = batches.unbatch().map(
        with_image, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    return examples.batch(options.share.block, drop_remainder=options.training)


def read_and_decode(
    example: Batch, options: ReadOptions, image_shape: tuple[int, ...]
) -> tf.Tensor:
    """Reads one image and decodes a window of it: random in training, if requested.

    Returns:
      uint8 [H, W, C].
    """
    height, width, channels = image_shape
    min_area = _min_area(options)
    if min_area is None:
        window = decoding.central_window(options.eval_crop, width / height)
    else:
        rng = PrecomputedRng(decoding.WINDOW_PURPOSES, example['window_rng'])
        window = decoding.random_window(rng, min_area, width / height)
    data = read_encoded(example)
    return decoding.decode(
        data,
        (height, width),
        channels,
        window,
        example['key'],
        options.max_image_pixels,
    )


def decode_and_skip_corrupt(
    batches: tf.data.Dataset,
    options: ReadOptions,
    image_shape: tuple[int, ...],
    corrupt_images: CorruptImages,
) -> tf.data.Dataset:
    """Decodes images; corrupt ones are replaced in training, omitted in evaluation.

    A dataset inside, one for each batch, catches the errors. That costs nothing
    measurable, where one for each image took 2.7 times as long for images of 32 pixels.
    """

    def decode_batch(batch):
        def attempt(place, example):
            return place, read_and_decode(example, options, image_shape)

        places = tf.range(tf.size(batch['key']))
        valid = tf.data.Dataset.from_tensor_slices((places, batch))
        valid = valid.map(attempt).ignore_errors(log_warning=False)
        valid = valid.batch(options.share.block)
        none = tf.data.Dataset.from_tensors(
            (tf.zeros([0], tf.int32), tf.zeros([0, *image_shape], tf.uint8))
        )
        places, images = valid.concatenate(none).take(1).get_single_element()
        return fill_with_valid(
            batch, places, images, options, image_shape, corrupt_images
        )

    # Several batches at a time, each by one thread: autotuning does not reach into the
    # dataset inside.
    batches = batches.map(
        decode_batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    return batches if options.training else without_empty(batches)


def fill_with_valid(
    batch: Batch,
    places: tf.Tensor,
    images: tf.Tensor,
    options: ReadOptions,
    image_shape: tuple[int, ...],
    corrupt_images: CorruptImages,
) -> Batch:
    """Completes a batch with images that could not be decoded.

    Args:
      batch: the batch with 'path' or 'data'.
      places: int32 [valid], increasing: the places of those that could be decoded.
      images: their pixels, uint8 [valid, H, W, C].
      options: how the split is read.
      image_shape: (H, W, C).
      corrupt_images: records the others.

    Returns:
      The batch with 'image' in place of 'path' or 'data'. In training, a corrupt image
      is replaced by another one of the batch, so that all others stay at their places;
      otherwise the batch is shorter.
    """
    field = 'path' if 'path' in batch else 'data'
    encoded = batch[field]
    names = batch.get('name', batch['key'])
    batch = {k: v for k, v in batch.items() if k not in (*_ENCODED, 'name')}
    count = tf.size(batch['key'])
    why = functools.partial(
        why_unreadable, image_shape=image_shape, max_pixels=options.max_image_pixels
    )
    record = functools.partial(
        record_corrupt, corrupt_images, options.training, field, why
    )

    def completed():
        recorded = tf.numpy_function(
            record, [encoded, batch['key'], names, places], tf.int64
        )
        with tf.control_dependencies([recorded]):
            if not options.training:
                kept = {name: tf.gather(v, places) for name, v in batch.items()}
                return dict(kept, image=tf.identity(images))
            # The n-th place takes the n-th valid image, counted in cycles.
            number = tf.range(count) % tf.size(places)
        number = tf.tensor_scatter_nd_update(
            number, places[:, None], tf.range(tf.size(places))
        )
        place = tf.gather(places, number)
        return dict(
            batch,  # With its own index, so that the two are augmented differently.
            image=tf.gather(images, number),
            key=tf.gather(batch['key'], place),
            label=tf.gather(batch['label'], place),
        )

    result = tf.cond(
        tf.equal(tf.size(places), count),
        lambda: dict(batch, image=tf.identity(images)),
        completed,
    )
    size = options.share.block if options.training else None
    for tensor in result.values():
        tensor.set_shape([size, *tensor.shape[1:]])
    return result


def without_empty(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Drops batches without a valid image."""
    return batches.filter(lambda batch: tf.size(batch['key']) > 0)


def augment_and_format(
    batches: tf.data.Dataset, ops: AugmentOps, options: ReadOptions, num_classes: int
) -> tf.data.Dataset:
    """Augments batches by `ops` and turns them into (features, labels)."""

    def apply(batch):
        if 'x' in batch:  # Numbers for regression.
            return {'x': batch['x'], 'key': batch['key']}, batch['label']
        images, labels = batch['image'], batch['label']
        if ops:
            rng = ExampleRng(options.seed, batch['epoch'], batch['index'])
            images = augment.apply(images, rng, ops)
            images, labels = augment.mix(images, labels, rng, ops, num_classes)
        features = {'image': images, 'key': batch['key']}
        if options.with_index:
            features['index'] = batch['index']
        return features, labels

    return batches.map(apply, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def split_packs(dataset: tf.data.Dataset, pack: int) -> tf.data.Dataset:
    """Splits elements that hold the batches of several steps into [pack, B, ...]."""
    if pack == 1:
        return dataset

    def split(tensor):
        shape = tensor.shape
        return tf.reshape(tensor, (pack, shape[0] // pack, *shape[1:]))

    return dataset.map(lambda *element: tf.nest.map_structure(split, element))


def dataset_options() -> tf.data.Options:
    """Returns the `tf.data.Options` of all datasets that are read here."""
    options = tf.data.Options()
    # Order is computed, and each worker takes its own share, see
    # `input.sampling.index_shuffle`.
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
    )
    # A prefetch after `timed` would count all of its idling as waiting.
    options.experimental_optimization.inject_prefetch = False
    return options


def _min_area(options: ReadOptions) -> float | None:
    """Returns the amount of `resized_crop`; None without it."""
    return dict(options.augment_ops).get('resized_crop')
