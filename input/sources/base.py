"""What every format becomes: a `DataSource`, which makes input_fns.

The three kinds of source differ in where the examples are (`memory_source`,
`file_source`, `record_source`); order, augmentation and what a batch looks like are
the same for all and are here.
"""

import abc
import dataclasses
import functools

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import numpy as np
import tensorflow as tf

from estimator_clf.core.devices import session_config
from estimator_clf.core.errors import DataError
from input import augment as augmentation
from input.dataset_info import DatasetInfo
from input.images import decode as decoding
from input.sampling.class_balance import SAMPLINGS
from input.sampling.index_shuffle import Share
from input.sampling.stateless_random import ExampleRng
from input.sources.input_wait import timed

# Pixel statistics are taken from this many training images, spread evenly.
_STATISTICS_SAMPLE = 2048


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """How a split is read.

    Attributes:
      split: name of the split.
      training: for ever and shuffled, or once and in natural order.
      seed: Python int for order and augmentation.
      share: `Share` of each batch to read.
      start_step: the first step to read for.
      steps: parsed augmentation, see `input.augment.parse`.
      eval_crop: share of the image's sides that evaluation keeps.
      sampling: see `input.sampling.class_balance`.
      with_index: whether a batch tells its examples' numbers.
      pack: number of steps whose batches an element holds.
    """

    split: str
    training: bool
    seed: int
    share: Share
    start_step: int
    steps: tuple
    eval_crop: float
    sampling: str
    with_index: bool = False
    pack: int = 1

    @property
    def order_seed(self):
        """Seed of the permutation, or None for the natural order."""
        return self.seed if self.training else None


class DataSource(abc.ABC):
    """A dataset that can be read split by split.

    Attributes:
      unique_keys: whether no two examples of a split have the same key.
      indexed: whether `encoded` comes to an example without those before it.
    """

    unique_keys = True
    indexed = True

    def __init__(self, name, class_names, image_shape, info=None):
        """Sets what all kinds have in common.

        Args:
          name: name of the dataset, for messages and `DatasetInfo`.
          class_names: sequence of str in the order of the labels.
          image_shape: (height, width, channels).
          info: `DatasetInfo` of an earlier run on this data, to take the pixel
            statistics from instead of computing them.
        """
        self.name = name
        self.class_names = tuple(class_names)
        self.image_shape = tuple(image_shape)
        self._info = info
        self._info_of_run = None  # See `keep_statistics`.
        #: `input.corrupt_images.CorruptImages` to leave out what cannot be read, set
        #: before anything is read; None: the first such image ends the reading.
        self.corrupt_images = None

    # What a kind of source supplies.

    @property
    @abc.abstractmethod
    def num_examples(self):
        """dict split -> number of examples."""

    @abc.abstractmethod
    def _batches(self, reading):
        """Returns a dataset of batches, whose elements are dicts:

        'image' uint8 [b, H, W, C], 'key' string [b], 'label' int32 [b], and 'epoch'
        and 'index' int64 [b], which identify the draw of each example; b is the size of
        a batch times `reading.pack`. AutoGraph is off here, see `input_fn`.
        """

    @abc.abstractmethod
    def encoded(self, split, indices=None):
        """Yields (key, encoded image as bytes, label) in natural order.

        Args:
          split: name of the split.
          indices: only these examples, an increasing sequence of int.
        """

    def sample(self, split, count=64):
        """Returns a few encoded images from all over a split, a list of bytes."""
        places = evenly_spaced_indices(self.num_examples[split], count)
        return [data for _, data, _ in self.encoded(split, places)]

    def explain(self, error):
        """Finds what is wrong on the disk when TensorFlow says that something is.

        Args:
          error: the exception that a session raised.

        Returns:
          A sentence that names the file, or None if nothing was found.
        """
        del error
        return None

    def keep_statistics(self, info):
        """Takes the pixel statistics of a run that goes on, which it began with.

        Args:
          info: its `DatasetInfo`; None for a run that begins. Nothing is taken from
            images of another shape.
        """
        same = info and tuple(info.image_shape) == self.image_shape
        of_run = info if same else None
        if of_run != self._info_of_run:
            self.__dict__.pop('info', None)
        self._info_of_run = of_run

    def class_counts(self, split):
        """Counts the examples of each class.

        Args:
          split: name of the split.

        Returns:
          int64 [classes].

        Raises:
          DataError: no such split, no classes (regression), or labels that cannot be
            read.
        """
        self._check_split(split)
        if not self.class_names:
            raise DataError(f'{self.name} has no classes to count, only numbers')
        return np.bincount(self.labels(split), minlength=len(self.class_names))

    def set_cache(self, kind):
        """Says what stays in memory once it has been read, before anything has been.

        Args:
          kind: a name in `input.sources.image_cache.KINDS`.

        Raises:
          DataError: this kind of source cannot.
        """
        if kind != 'none':
            raise DataError(
                f'`cache={kind}` is for images that are files of their own '
                f'(image_folder), not for {self.name}; leave it out'
            )

    @abc.abstractmethod
    def labels(self, split):
        """Returns the labels of a split in natural order, integers [N]."""

    @abc.abstractmethod
    def fingerprint(self, split):
        """Returns a text that is another where the examples of a split are others.

        Of files the names, sizes and times are looked at, and not what is in them.
        """

    @abc.abstractmethod
    def _restrict(self, places, numbers):
        """Keeps some examples and numbers their classes again, see `restrict`."""

    def restrict(self, places, numbers, class_names):
        """Keeps some examples only; see `input.sampling.subset.select`.

        Args:
          places: dict split -> increasing numbers of the examples to keep, int64.
          numbers: int32 [classes so far]: the new number of each class, or -1.
          class_names: the names of those that stay.
        """
        self._restrict(places, numbers)
        self.class_names = tuple(class_names)

    # What follows from it.

    @functools.cached_property
    def info(self):
        """`DatasetInfo`; reads some images for the pixel statistics."""
        known = self._info_of_run or self._info
        if known is not None:
            mean, stddev = known.mean, known.stddev
        else:
            mean, stddev = self._pixel_statistics()
        return DatasetInfo(
            name=self.name,
            class_names=self.class_names,
            image_shape=self.image_shape,
            num_examples=dict(self.num_examples),
            mean=mean,
            stddev=stddev,
        )

    def input_fn(
        self,
        split,
        batch_size,
        *,
        training=False,
        seed=0,
        start_step=0,
        augment='',
        eval_crop=1.0,
        sampling='natural',
        replicas=1,
        worker=0,
        num_workers=1,
        time_input=False,
        with_index=False,
        pack=1,
    ):
        """Makes an input_fn for an Estimator.

        Args:
          split: a key of `num_examples`.
          batch_size: examples per step, over all replicas and workers.
          training: shuffled and for ever; otherwise once, in natural order, the last
            batch as short as it comes.
          seed: int; with epoch and index it determines order and augmentation.
          start_step: the step to begin at, an int or a function without
            arguments, called when the input_fn is: where a resumed run goes on.
          augment: see `input.augment.parse`; for training only.
          eval_crop: share of the sides of the largest middle window that is kept
            of images of natural size.
          sampling: how often each class is drawn, see `input.sampling.class_balance`;
          for training
            only.
          replicas: devices on this worker; each is handed batch_size / replicas
            (/ num_workers) examples at a time.
          worker: index of this worker.
          num_workers: number of workers. In training they read without overlap;
            otherwise each reads all of the split.
          time_input: adds the feature 'input_wait', float64 scalar, the seconds
            that the reader of this batch had to wait for it.
          with_index: adds the feature 'index', int64 [B]: what, with the epoch, the
            augmentation of an example follows from.
          pack: number of steps whose batches are one element, with one dimension more
            in front, [pack, B, …]: for who takes many small steps at a time, see
            `estimator_clf.training.step_loop`; at most `steps_per_pack()`.

        Returns:
          A function without arguments that returns a tf.data.Dataset of
          (features, labels): features {'image': uint8 [B, H, W, C], 'key': string
          [B]}, labels int32 [B], or float32 [B, classes] with mixup or cutmix (for
          regression see `input.formats.csv`).

        Raises:
          DataError: no such split, a batch larger than the split, a bad option.
        """
        self._check_split(split)
        if batch_size < 1:
            raise DataError(f'`batch_size` must be at least 1, got {batch_size}')
        size = self.num_examples[split]
        if training and batch_size > size:
            raise DataError(
                f'`batch_size={batch_size}` must not be more than the {size} examples '
                f'of the split {split!r} of {self.name}'
            )
        steps = augmentation.parse(augment) if training else ()
        self._check_augment(steps)
        if training and sampling != 'natural':
            self._check_sampling(sampling)
        self._check_eval_crop(eval_crop)
        try:
            share = Share(batch_size, replicas, worker, num_workers)
        except ValueError as error:
            raise DataError(str(error)) from None

        most = self.steps_per_pack(split, batch_size, augment) if training else 1
        if not 1 <= pack <= max(most, 1) or (pack > 1 and replicas * num_workers > 1):
            raise DataError(
                f'pack must be from 1 to {most} here, 1 on several devices, got {pack}'
            )

        # AutoGraph would read and rewrite all that is mapped below, for seconds: there
        # is no Python `if`, `for`, `and` or `not` over tensors in it, nor may there be.
        @tf.autograph.experimental.do_not_convert
        def input_fn():
            reading = ReadOptions(
                split=split,
                training=training,
                seed=seed,
                share=share,
                start_step=int(start_step() if callable(start_step) else start_step),
                steps=steps,
                eval_crop=eval_crop,
                sampling=sampling,
                with_index=with_index,
                pack=pack,
            )
            dataset = self._batches(reading)
            dataset = dataset.map(
                functools.partial(self._finish, reading),
                num_parallel_calls=tf.data.AUTOTUNE,
                deterministic=True,
            )
            if pack > 1:
                dataset = dataset.map(functools.partial(_cut, pack))
            dataset = dataset.prefetch(tf.data.AUTOTUNE)
            if time_input:
                dataset = timed(dataset)
            return dataset.with_options(options())

        return input_fn

    def steps_per_pack(self, split, batch_size, augment=''):
        """Returns the most steps whose batches one element of a dataset may hold.

        Args:
          split: as `input_fn` is given it.
          batch_size: also.
          augment: also.
        """
        del split, batch_size, augment
        return 1

    def _check_split(self, split):
        if split not in self.num_examples:
            raise DataError(
                f'{self.name} has no split {split!r}; it has: '
                + ', '.join(f'{k} ({n} examples)' for k, n in self.num_examples.items())
            )

    def _check_augment(self, steps):
        """Raises DataError for augmentation that these examples cannot have."""
        augmentation.check_size(steps, self.image_shape)

    def _check_eval_crop(self, eval_crop):
        """Raises DataError for a window that these examples cannot be cut to."""
        if not 0.0 < eval_crop <= 1.0:
            raise DataError(
                f'`eval_crop` must be more than 0 and at most 1, got {eval_crop}'
            )

    def _check_sampling(self, sampling):
        """Raises DataError for sampling that these examples cannot have."""
        if sampling not in SAMPLINGS:
            raise DataError(
                f'`sampling` must be one of {", ".join(SAMPLINGS)}, got {sampling!r}'
            )
        if not self.class_names:
            raise DataError(f'`sampling` has no meaning for {self.name}: no classes')

    def _finish(self, reading, batch):
        """Augments a batch and gives it the form that leaves `input`."""
        images, labels = batch['image'], batch['label']
        if reading.steps:
            draw = ExampleRng(reading.seed, batch['epoch'], batch['index'])
            images = augmentation.apply(images, draw, self._batch_steps(reading.steps))
            images, labels = augmentation.mix(
                images, labels, draw, reading.steps, len(self.class_names)
            )
        features = {'image': images, 'key': batch['key']}
        if reading.with_index:
            features['index'] = batch['index']
        return features, labels

    def _batch_steps(self, steps):
        """The steps that are left to do on whole batches."""
        return steps

    def decode(self, data, key=None, window=None):
        """Decodes one image to `image_shape`, see `input.images.decode.decode`."""
        height, width, channels = self.image_shape
        return decoding.decode(data, (height, width), channels, window, key)

    def _pixel_statistics(self):
        """Mean and deviation per channel over a sample of the training images."""
        splits = self.num_examples
        split = 'train' if 'train' in splits else next(iter(splits))
        size = splits[split]
        batch = min(64, size)
        sums, squares, pixels = 0.0, 0.0, 0
        # In shuffled order: in natural order the first images are of one class.
        input_fn = self.input_fn(split, batch, training=True)
        for features, _ in as_numpy_batches(
            input_fn, min(_STATISTICS_SAMPLE, size) // batch
        ):
            images = features['image'].astype(np.float64)
            sums = sums + images.sum((0, 1, 2))
            squares = squares + (images**2).sum((0, 1, 2))
            pixels += images.shape[0] * images.shape[1] * images.shape[2]
        mean = sums / pixels
        stddev = np.sqrt(np.maximum(squares / pixels - mean**2, 1.0))
        return tuple(float(m) for m in mean), tuple(float(s) for s in stddev)


def evenly_spaced_indices(size, count):
    """Returns a list of `count` numbers below `size` at even distances, or all."""
    return sorted({int(i) for i in np.linspace(0, size - 1, min(count, size))})


def as_numpy_batches(input_fn, limit=None):
    """Runs an input_fn by itself and yields its batches as NumPy arrays.

    In a graph and session of its own, so that it works whether or not eager
    execution is on.

    Args:
      input_fn: function without arguments that returns a tf.data.Dataset.
      limit: number of batches to yield at the most.
    """
    input_fn = tf.autograph.experimental.do_not_convert(input_fn)
    with tf.Graph().as_default() as graph:
        iterator = tf.compat.v1.data.make_initializable_iterator(input_fn())
        batch = iterator.get_next()
    config = session_config(rewrite=False)
    # As a `with` the session would be the default of who asks, from batch to batch.
    session = tf.compat.v1.Session(graph=graph, config=config)
    try:
        session.run(iterator.initializer)
        done = 0
        while limit is None or done < limit:
            try:
                yield session.run(batch)
            except tf.errors.OutOfRangeError:
                return
            done += 1
    finally:
        session.close()


def _cut(count, *element):
    """Cuts the batches of some steps, in a row, into [count, B, ...]."""

    def cut(tensor):
        shape = tensor.shape
        return tf.reshape(tensor, (count, shape[0] // count, *shape[1:]))

    return tf.nest.map_structure(cut, element)


def options():
    """Returns the `tf.data.Options` of everything that is read here."""
    options = tf.data.Options()
    # Order is computed, and each worker takes its own share, see
    # `input.sampling.index_shuffle`.
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
    )
    # A prefetch put behind `timed` would count all of its idling as waiting.
    options.experimental_optimization.inject_prefetch = False
    return options
