"""Encoded images that may be corrupt: reading one, recording it, naming the reason."""

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from estimator_clf.core.errors import is_out_of_memory
from estimator_clf.core.hardware.devices import session_config
from input.corrupt_images import CorruptImages
from input.images.decode import MAX_IMAGE_PIXELS, decode, whole_window
from input.images.tf_messages import short_reason


def read_encoded(example: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Returns the bytes of an encoded image, string scalar.

    Args:
      example: dict with 'path', string scalar, or 'data', the bytes themselves.
    """
    return tf.io.read_file(example['path']) if 'path' in example else example['data']


def record_corrupt(
    corrupt_images: CorruptImages,
    training: bool,
    field: str,
    why: Callable[[Mapping[str, bytes]], str],
    encoded: np.ndarray,
    keys: np.ndarray,
    names: np.ndarray,
    places: np.ndarray,
) -> np.int64:
    """Records the images of a batch that could not be decoded.

    Args:
      corrupt_images: where to record them.
      training: whether a batch without any valid image is an error.
      field: 'path' or 'data', the meaning of `encoded`.
      why: returns the reason why an example, {field: bytes}, cannot be decoded.
      encoded: bytes [b].
      keys: bytes [b].
      names: bytes [b], which identify the images where keys are not unique.
      places: int32: the places of the images that could be decoded.

    Returns:
      The number of corrupt images.

    Raises:
      DataError: too many corrupt images, or no valid one in training.
    """
    valid = set(places.tolist())
    described = []
    for place in range(len(keys)):
        key, name = (texts[place].decode('utf-8', 'replace') for texts in (keys, names))
        described.append(name if name == key else f'{key} ({name})')
        if place not in valid:
            example = {field: encoded[place]}
            find_reason = functools.partial(why, example)
            corrupt_images.note(described[place], find_reason, key)
    if training and not valid:
        corrupt_images.raise_no_valid_examples(described)
    return np.int64(len(keys) - len(valid))


def why_unreadable(
    example: Mapping[str, bytes],
    image_shape: Sequence[int],
    max_pixels: int = MAX_IMAGE_PIXELS,
) -> str:
    """Decodes an image again and returns the reason why that fails.

    Args:
      example: 'path' or 'data' of the image.
      image_shape: (height, width, channels) to decode to.
      max_pixels: maximum number of pixels of an image.
    """
    # Threads of its own: those of all sessions may be waiting for this answer.
    config = session_config(
        rewrite=False,
        use_per_session_threads=True,
        intra_op_parallelism_threads=1,
        inter_op_parallelism_threads=1,
    )
    height, width, channels = image_shape
    with tf.Graph().as_default():
        given = {name: tf.compat.v1.placeholder(tf.string, []) for name in example}
        # All of it: the corrupt part may be outside the central window.
        image = decode(
            read_encoded(given),
            (height, width),
            channels,
            whole_window,
            max_pixels=max_pixels,
        )
        feed = {given[name]: value for name, value in example.items()}
        with tf.compat.v1.Session(config=config) as session:
            try:
                session.run(image.op, feed)
            except tf.errors.OpError as error:
                if is_out_of_memory(error):  # The image may be valid.
                    raise MemoryError(error.message) from None
                return short_reason(error)
    return 'could not be decoded at first, but can be now'


def format_unreadable(unreadable: Sequence[tuple[str, str]], limit: int) -> str | None:
    """Formats a list of unreadable images.

    Args:
      unreadable: pairs (where it is, reason).
      limit: the length at which the list was cut off.

    Returns:
      Text, or None for an empty list.
    """
    if not unreadable:
        return None
    more = ' (and perhaps more)' if len(unreadable) >= limit else ''
    count = '1 image' if len(unreadable) == 1 else f'{len(unreadable)} images'
    lines = '\n  '.join(f'{where}: {reason}' for where, reason in unreadable)
    return f'{count}{more} cannot be read:\n  {lines}'
