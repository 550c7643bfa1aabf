"""`DataSource`, the interface of every format: a dataset that makes input_fns.

A concrete source (`image_files`, `tfrecords`, `in_memory`, `input.formats.csv`) derives
from it directly and supplies what is specific to it: the numbers of examples, their
labels, and a dataset of raw examples in order. `input.sources.pipeline` does the rest.
"""

import abc
import dataclasses
import functools
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import numpy as np
import tensorflow as tf

from estimator_clf.core.class_names import names_fault
from estimator_clf.core.errors import DataError
from estimator_clf.core.hardware.devices import session_config
from input import augment as augmentation
from input.corrupt_images import CorruptImages
from input.dataset_info import DatasetInfo
from input.directories.skipped import Skipped
from input.fingerprint import Identity
from input.images import decode as decoding
from input.sampling.class_balance import SAMPLINGS
from input.sampling.index_shuffle import Share
from input.sources.pipeline import ReadOptions, make_dataset

InputFn = Callable[[], tf.data.Dataset]

# Number of training images, evenly spaced, that pixel statistics are computed from.
_STATISTICS_SAMPLE = 2048

# Pixels that are held as float64 at a time. A batch has four times as many, 64 images
# of 256x256.
_STATISTICS_PIXELS = 2**20


class DataSource(abc.ABC):
    """A dataset that can be read split by split.

    Attributes:
      unique_keys: whether no two examples of a split have the same key.
      indexed: whether an example can be read without those before it.
      name: name of the dataset, for messages and `DatasetInfo`.
      class_names: names in the order of the labels.
      image_shape: (height, width, channels).
      skipped: what is on the disk and not used, for formats that list directories.
      absent_hint: what to do about classes without an example, if the format knows.
      notes: messages for the user about what the format inferred from the data.
      corrupt_images: records corrupt images, which are then skipped; must be set before
        anything is read. None: the first corrupt image is an error.
      max_image_pixels: an image of more pixels is corrupt: it is not decoded. Must be
        set before anything is read.
      known_losses: messages for the user about the form in which the data are read.
    """

    unique_keys = True
    indexed = True
    absent_hint = ''

    def __init__(
        self,
        name: str,
        class_names: Sequence[str],
        image_shape: Sequence[int],
        info: DatasetInfo | None = None,
    ):
        """Sets the attributes that all sources share.

        Args:
          name: see the attribute.
          class_names: see the attribute.
          image_shape: see the attribute.
          info: facts of an earlier run on this data, whose pixel statistics are used
            instead of computing them.
        """
        self.name = name
        self.class_names = tuple(class_names)
        self.image_shape = tuple(image_shape)
        fault = names_fault(self.class_names) if self.class_names else None
        if fault:
            raise DataError(f'{name}: {fault}')
        self.skipped = Skipped()
        self.notes: Sequence[str] = ()
        self.corrupt_images: CorruptImages | None = None
        self.max_image_pixels = decoding.MAX_IMAGE_PIXELS
        self.known_losses: Sequence[str] = ()
        self._info = info
        self._info_of_run: DatasetInfo | None = None  # See `keep_statistics`.

    # Supplied by a concrete source.

    @property
    @abc.abstractmethod
    def num_examples(self) -> dict[str, int]:
        """dict split -> number of examples."""

    @abc.abstractmethod
    def read(self, options: ReadOptions) -> tf.data.Dataset:
        """Returns the examples of a split in batches, in order, not yet decoded.

        Args:
          options: how the split is read.

        Returns:
          Dataset of dicts as described in `input.sources.pipeline`; each holds
          `options.share.block` times `options.pack` examples.
        """

    @abc.abstractmethod
    def encoded(
        self, split: str, indices: Sequence[int] | None = None
    ) -> Iterator[tuple[str, bytes, int]]:
        """Yields (key, encoded image, label) in natural order.

        Args:
          split: name of the split.
          indices: only these examples, increasing.
        """

    @abc.abstractmethod
    def labels(self, split: str) -> np.ndarray:
        """Returns the labels of a split in natural order, integers [N]."""

    @abc.abstractmethod
    def fingerprint(self, split: str) -> str:
        """Returns a text that changes when the examples of a split change.

        It covers names, sizes and times of files, but not their content.
        """

    def _identity(self, split: str) -> Identity:
        """Identifies the examples of a split, see `identity`."""
        return {'labels': str(zlib.crc32(np.ascontiguousarray(self.labels(split))))}

    @abc.abstractmethod
    def _restrict(self, places: Mapping[str, np.ndarray], numbers: np.ndarray) -> None:
        """Retains some examples and renumbers their classes, see `restrict`."""

    def _check_options(self, options: ReadOptions) -> None:
        """Raises DataError for options that this source does not support."""
        del options

    def sample(self, split: str, count: int = 64) -> list[bytes]:
        """Returns a few encoded images, evenly spaced over a split."""
        places = evenly_spaced_indices(self.num_examples[split], count)
        return [data for _, data, _ in self.encoded(split, places)]

    def stored_sizes(self, split: str, count: int = 32) -> list[tuple[int, int]]:
        """Returns (height, width) of a few images on disk, where that is quick."""
        del split, count
        return []

    def losses(self) -> list[str]:
        """Describes what reading some training images loses, with the remedies."""
        return list(self.known_losses)

    def explain(self, error: BaseException) -> str | None:
        """Finds the cause on disk of an error that TensorFlow raised.

        Args:
          error: the exception of a session.

        Returns:
          A sentence that names the file, or None if no cause was found.
        """
        del error
        return None

    def set_cache(self, kind: str) -> None:
        """Sets what is cached in memory; must come before anything is read.

        Args:
          kind: a name in `input.sources.image_cache.KINDS`.

        Raises:
          DataError: this source does not support it.
        """
        if kind != 'none':
            raise DataError(
                f'`cache={kind}` is for images in files of their own (image_folder), '
                f'not for {self.name}; omit it'
            )

    def steps_per_pack(self, split: str, batch_size: int, augment: str = '') -> int:
        """Returns the largest number of steps whose batches can form one element.

        Args:
          split: see `input_fn`.
          batch_size: see `input_fn`.
          augment: see `input_fn`.
        """
        del split, batch_size, augment
        return 1

    # The same for all sources.

    @functools.cached_property
    def info(self) -> DatasetInfo:
        """Facts about the dataset; reads some images for the pixel statistics."""
        known = self._info_of_run or self._info
        if known is not None:
            mean, stddev = known.mean, known.stddev
        elif self.class_names:
            mean, stddev = self._pixel_statistics()
        else:  # Regression: no images.
            mean, stddev = (), ()
        return DatasetInfo(
            name=self.name,
            class_names=self.class_names,
            image_shape=self.image_shape,
            num_examples=dict(self.num_examples),
            mean=mean,
            stddev=stddev,
        )

    def keep_statistics(self, info: DatasetInfo | None) -> None:
        """Reuses the pixel statistics with which a resumed run started.

        Args:
          info: facts of that run; None for a new run. Ignored if its images have
            another shape.
        """
        same = info and tuple(info.image_shape) == self.image_shape
        of_run = info if same else None
        if of_run != self._info_of_run:
            self.__dict__.pop('info', None)
        self._info_of_run = of_run

    def identity(self, split: str) -> Identity:
        """Identifies the examples of a split, wherever they are stored.

        Unlike `fingerprint` it does not change with the times and the directory of
        files. Content is sampled, see `input.fingerprint`.

        Args:
          split: name of the split.
        """
        self._check_split(split)
        return {'examples': self.num_examples[split], **self._identity(split)}

    def class_counts(self, split: str) -> np.ndarray:
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

    def absent_classes(self, split: str) -> list[int]:
        """Returns the labels without an example in a split, increasing.

        Args:
          split: name of the split.

        Returns:
          The labels; [] also where finding them takes too long, or without classes.
        """
        self._check_split(split)
        if not self.class_names:
            return []
        return np.flatnonzero(self.class_counts(split) == 0).tolist()

    def restrict(
        self,
        places: Mapping[str, np.ndarray],
        numbers: np.ndarray,
        class_names: Sequence[str],
    ) -> None:
        """Retains some examples only; see `input.sampling.subset.select`.

        Args:
          places: dict split -> indices of the examples to retain, int64, increasing.
          numbers: int32 [old classes]: the new number of each class, or -1.
          class_names: the names of the remaining classes.
        """
        self._restrict(places, numbers)
        self.class_names = tuple(class_names)

    def decode(
        self,
        data: tf.Tensor,
        key: tf.Tensor | None = None,
        window: decoding.Window | None = None,
    ) -> tf.Tensor:
        """Decodes one image to `image_shape`, see `input.images.decode.decode`."""
        height, width, channels = self.image_shape
        return decoding.decode(
            data, (height, width), channels, window, key, self.max_image_pixels
        )

    def input_fn(
        self,
        split: str,
        batch_size: int,
        *,
        training: bool = False,
        seed: int = 0,
        start_step: int | Callable[[], int] = 0,
        augment: str = '',
        eval_crop: float = 1.0,
        sampling: str = 'natural',
        replicas: int = 1,
        worker: int = 0,
        num_workers: int = 1,
        time_input: bool = False,
        with_index: bool = False,
        pack: int = 1,
    ) -> InputFn:
        """Makes an input_fn for an Estimator.

        Args:
          split: a key of `num_examples`.
          batch_size: examples per step, over all replicas and workers.
          training: shuffled and endless; otherwise once, in natural order, with a
            short last batch.
          seed: with epoch and index it determines order and augmentation.
          start_step: the first step, or a function that returns it, called when the
            input_fn is: the step at which a run resumes.
          augment: see `input.augment.parse`; for training only.
          eval_crop: fraction of the sides of the largest central window that is used
            of images of any size.
          sampling: how often each class is sampled, see
            `input.sampling.class_balance`; for training only.
          replicas: devices of this worker; each takes batch_size / replicas
            (/ num_workers) examples at a time.
          worker: index of this worker.
          num_workers: number of workers. In training they read without overlap;
            otherwise each reads the whole split.
          time_input: adds the feature 'input_wait', float64 scalar, the seconds for
            which the reader of this batch was blocked.
          with_index: adds the feature 'index', int64 [B], which, with the epoch,
            determines the augmentation of an example.
          pack: number of steps whose batches form one element, with one more
            dimension in front, [pack, B, ...], for a loop that runs several small steps
            at a time, see `estimator_clf.training.step_loop`; at most
            `steps_per_pack()`.

        Returns:
          A function without arguments that returns a tf.data.Dataset of
          (features, labels): features {'image': uint8 [B, H, W, C], 'key': string
          [B]}, labels int32 [B], or float32 [B, classes] with mixup or cutmix (for
          regression see `input.formats.csv`).

        Raises:
          DataError: no such split, a batch larger than the split, an invalid option.
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
        if not training and replicas * num_workers == 1:
            batch_size = min(batch_size, size)  # tf.data reserves memory for all of it.
        ops = augmentation.parse(augment) if training else ()
        if self.class_names:
            augmentation.check_size(ops, self.image_shape)
        if training and sampling != 'natural':
            self._check_sampling(sampling)
        if not 0.0 < eval_crop <= 1.0:
            raise DataError(
                f'`eval_crop` must be more than 0 and at most 1, got {eval_crop}'
            )
        try:
            share = Share(batch_size, replicas, worker, num_workers)
        except ValueError as error:
            raise DataError(str(error)) from None
        options = ReadOptions(
            split=split,
            share=share,
            training=training,
            seed=seed,
            augment_ops=ops,
            eval_crop=eval_crop,
            sampling=sampling,
            with_index=with_index,
            pack=pack,
            time_input=time_input,
            max_image_pixels=self.max_image_pixels,
        )
        self._check_options(options)
        most = self.steps_per_pack(split, batch_size, augment) if training else 1
        if not 1 <= pack <= max(most, 1) or (pack > 1 and replicas * num_workers > 1):
            raise DataError(
                f'`pack` must be from 1 to {most} here, 1 on several devices, got '
                f'{pack}'
            )

        # AutoGraph would read and rewrite all functions of the pipeline, for seconds.
        @tf.autograph.experimental.do_not_convert
        def input_fn():
            first = int(start_step() if callable(start_step) else start_step)
            return make_dataset(self, dataclasses.replace(options, start_step=first))

        return input_fn

    def _check_split(self, split: str) -> None:
        if split not in self.num_examples:
            raise DataError(
                f'{self.name} has no split {split!r}; it has: '
                + ', '.join(f'{k} ({n} examples)' for k, n in self.num_examples.items())
            )

    def _check_sampling(self, sampling: str) -> None:
        if sampling not in SAMPLINGS:
            raise DataError(
                f'`sampling` must be one of {", ".join(SAMPLINGS)}, got {sampling!r}'
            )
        if not self.class_names:
            raise DataError(f'`sampling` has no meaning for {self.name}: no classes')

    def _pixel_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Computes mean and standard deviation per channel of some training images."""
        splits = self.num_examples
        split = 'train' if 'train' in splits else next(iter(splits))
        size = splits[split]
        batch = min(64, size)
        # In shuffled order: in natural order the first images are of one class. Without
        # the cache: a sample is no reason to fill it.
        options = ReadOptions(split, Share(batch), training=True, use_cache=False)
        left = min(_STATISTICS_SAMPLE, size) // batch * batch
        # Large images a few at a time; one corrupt image needs another to replace it.
        fitting = max(8, 4 * _STATISTICS_PIXELS // math.prod(self.image_shape[:2]))
        batch = min(batch, fitting)
        options = dataclasses.replace(options, share=Share(batch))
        limit = math.ceil(left / batch)
        channels = self.image_shape[-1]
        sums = squares = np.zeros([channels])
        count = 0
        for features, _ in as_numpy_batches(lambda: make_dataset(self, options), limit):
            images = features['image'][:left]
            left -= len(images)
            pixels = images.reshape(-1, channels)
            count += len(pixels)
            # Whole numbers below 2 ** 53: sums in any order are exact.
            for first in range(0, len(pixels), _STATISTICS_PIXELS):
                part = pixels[first : first + _STATISTICS_PIXELS].astype(np.float64)
                sums = sums + part.sum(0)
                squares = squares + (part**2).sum(0)
        mean = sums / count
        stddev = np.sqrt(np.maximum(squares / count - mean**2, 1.0))
        return tuple(float(m) for m in mean), tuple(float(s) for s in stddev)


def evenly_spaced_indices(size: int, count: int) -> list[int]:
    """Returns `count` evenly spaced indices below `size`, or all of them."""
    return sorted({int(i) for i in np.linspace(0, size - 1, min(count, size))})


def as_numpy_batches(input_fn: InputFn, limit: int | None = None) -> Iterator[Any]:
    """Runs an input_fn in a graph and session of its own, and yields NumPy batches.

    It works whether or not eager execution is on.

    Args:
      input_fn: function without arguments that returns a tf.data.Dataset.
      limit: maximum number of batches.

    Yields:
      The elements of the dataset.
    """
    input_fn = tf.autograph.experimental.do_not_convert(input_fn)
    with tf.Graph().as_default() as graph:
        iterator = tf.compat.v1.data.make_initializable_iterator(input_fn())
        batch = iterator.get_next()
    config = session_config(rewrite=False)
    # In a `with` block the session would become the caller's default session, from
    # batch to batch.
    session = tf.compat.v1.Session(graph=graph, config=config)
    try:
        session.run(iterator.initializer)
        done = 0
        while limit is None or done < limit:
            try:
                yield session.run(batch)
            except tf.errors.OutOfRangeError:
                return
            except UnicodeDecodeError as error:
                # TensorFlow's message quotes a record that is not a tf.train.Example.
                raise tf.errors.InvalidArgumentError(
                    None, None, f'Could not parse example input ({error.reason})'
                ) from None
            done += 1
    finally:
        session.close()
