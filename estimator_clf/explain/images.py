"""Images to explain, from a dataset or from files."""

import dataclasses
import functools
from collections.abc import Iterable, Iterator
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import numpy as np
import tensorflow as tf

from estimator_clf.core.errors import ConfigError
from estimator_clf.export.check_examples import MAX_POSITION
from input.corrupt_images import CorruptImages
from input.images.batch_decoder import BatchDecoder
from input.images.tf_messages import short_reason
from input.sources.base import DataSource, evenly_spaced_indices

v1 = tf.compat.v1

Encoded = tuple[str, bytes, int | None]  # (name, file content, label)


@dataclasses.dataclass(frozen=True)
class DecodedImage:
    """A decoded image.

    Attributes:
      name: for captions.
      pixels: float32 [H, W, C] in 0..255, the input of the network.
      label: its class, or None if unknown.
      encoded: content of the file.
    """

    name: str
    pixels: np.ndarray
    label: int | None
    encoded: bytes


def sample_examples(source: DataSource, split: str, count: int) -> Iterator[Encoded]:
    """Yields (key, encoded image, label) of examples spread evenly over a split."""
    size = source.num_examples[split]
    if not source.indexed:  # Reaching a record costs reading all records before it.
        size = min(size, MAX_POSITION)
    yield from source.encoded(split, evenly_spaced_indices(size, count))


def load_images(
    examples: Iterable[Encoded],
    decoder: BatchDecoder,
    corrupt_images: CorruptImages | None = None,
) -> list[DecodedImage]:
    """Decodes images as for prediction.

    Args:
      examples: (name, encoded image, label or None) each.
      decoder: decoder of the run.
      corrupt_images: records and skips corrupt images; None: a corrupt image is an
        error.

    Raises:
      ConfigError: an image, or all of them, cannot be decoded.
      DataError: there are more corrupt images than `corrupt_images` allows.
    """
    found = []
    with tf.Graph().as_default(), v1.Session() as session:
        encoded = v1.placeholder(tf.string, [])
        decoded = decoder(encoded)
        for name, data, label in examples:
            try:
                pixels = _run(session, decoded, encoded, data)
            except tf.errors.InvalidArgumentError as error:
                if corrupt_images is None:
                    raise _corrupt_error(name, error) from None
                corrupt_images.note(name, functools.partial(short_reason, error))
                continue
            found.append(DecodedImage(name, pixels, label, data))
    if not found:
        raise ConfigError('none of the images can be read, so nothing is explained')
    return found


def decode_full_size(
    image: DecodedImage, channels: int, max_pixels: int | None = None
) -> np.ndarray:
    """Decodes an image at its original size.

    Args:
      image: the image.
      channels: 1 or 3.
      max_pixels: larger images are an error; None: no limit.

    Returns:
      float32 [height, width, channels] in 0..255.
    """
    from input.images.decode import decode, whole_window

    with tf.Graph().as_default(), v1.Session() as session:
        encoded = v1.placeholder(tf.string, [])
        decoded = decode(encoded, None, channels, whole_window, None, max_pixels)
        try:
            return _run(session, decoded, encoded, image.encoded)
        except tf.errors.InvalidArgumentError as error:
            raise _corrupt_error(image.name, error) from None


def _run(session: Any, decoded: Any, encoded: Any, data: bytes) -> np.ndarray:
    return session.run(decoded, {encoded: data}).astype(np.float32)


def _corrupt_error(name: str, error: Exception) -> ConfigError:
    return ConfigError(f'{name}: {short_reason(error)}')
