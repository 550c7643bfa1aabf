"""The images that are explained: some of the data, or files."""

import dataclasses
import functools

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import numpy as np
import tensorflow as tf

from estimator_clf.core.errors import ConfigError
from estimator_clf.export.check_examples import SPREAD
from input.images.tf_messages import short_reason
from input.sources.base import evenly_spaced_indices

v1 = tf.compat.v1


@dataclasses.dataclass(frozen=True)
class Picture:
    """One image.

    Attributes:
      name: for captions.
      image: float32 [H, W, C] in 0..255, as the network gets it.
      label: number of its class; None if nobody knows.
      encoded: the file.
    """

    name: str
    image: np.ndarray
    label: int | None
    encoded: bytes


def some_of(source, split, count):
    """Yields (key, encoded image, label) of examples spread over a split."""
    size = source.num_examples[split]
    if not source.indexed:  # All records before one are read to come to it.
        size = min(size, SPREAD)
    yield from source.encoded(split, evenly_spaced_indices(size, count))


def load(examples, decoder, corrupt_images=None):
    """Decodes images as prediction does.

    Args:
      examples: iterable of (name, encoded image, label or None).
      decoder: `input.images.batch_decoder.BatchDecoder`.
      corrupt_images: `input.corrupt_images.CorruptImages`, which is told of those that
      cannot
        be read; they are left out. None: there must be none.

    Returns:
      List of `Image`.

    Raises:
      ConfigError: one cannot be read, or none.
      DataError: more than `corrupt_images` allows cannot be.
    """
    found = []
    with tf.Graph().as_default(), v1.Session() as session:
        encoded = v1.placeholder(tf.string, [])
        decoded = decoder(encoded)
        for name, data, label in examples:
            try:
                image = _run(session, decoded, encoded, data)
            except tf.errors.InvalidArgumentError as error:
                if corrupt_images is None:
                    raise _unreadable(name, error) from None
                corrupt_images.note(name, functools.partial(short_reason, error))
                continue
            found.append(Picture(name, image, label, data))
    if not found:
        raise ConfigError('none of the images can be read, so nothing is explained')
    return found


def whole(picture, channels, max_pixels=None):
    """Decodes an image in its own size.

    Args:
      image: `Image`.
      channels: 1 or 3.
      max_pixels: refuse more.

    Returns:
      float32 [height, width, channels] in 0..255.
    """
    from input.images.decode import decode, whole_window

    with tf.Graph().as_default(), v1.Session() as session:
        encoded = v1.placeholder(tf.string, [])
        decoded = decode(encoded, None, channels, whole_window, None, max_pixels)
        try:
            return _run(session, decoded, encoded, picture.encoded)
        except tf.errors.InvalidArgumentError as error:
            raise _unreadable(picture.name, error) from None


def _run(session, decoded, encoded, data):
    return session.run(decoded, {encoded: data}).astype(np.float32)


def _unreadable(name, error):
    return ConfigError(f'{name}: {short_reason(error)}')
