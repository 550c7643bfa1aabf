"""Iterates over the encoded images of a TFRecord file."""

import os
from collections.abc import Iterator

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from estimator_clf.core.errors import DataError, is_out_of_memory
from input.images.tf_messages import short_reason
from input.tfrecord.files import compression_of, count_records

v1 = tf.compat.v1


def is_record_file(path: str) -> bool:
    """Returns whether a file is a TFRecord file, by its first bytes."""
    try:
        # Not by excluding images: the length of a record may look like one.
        compression_of(path)
        return os.path.getsize(path) > 0
    except (OSError, DataError):
        return False


def read_images(path: str, key: str) -> Iterator[bytes]:
    """Reads the images of a file in order.

    Args:
      path: the file.
      key: name of the feature with the image.

    Yields:
      The image; empty for a record without such a feature.

    Raises:
      DataError: the file is corrupt.
    """
    compression = compression_of(path)
    options = v1.io.TFRecordOptions(compression_type=compression)
    number = 0
    try:
        for record in v1.io.tf_record_iterator(path, options):
            yield _image(record, key)
            number += 1
    except tf.errors.OpError as error:
        if is_out_of_memory(error):
            raise
        raise DataError(
            f'{path}, record {number} cannot be read: {short_reason(error)}'
        ) from None
    # TensorFlow accepts a file that ends within the length of a record.
    count = count_records(path, compression)
    if count != number:
        raise DataError(f'{path}: {number} of its {count} records could be read')


def _image(record: bytes, key: str) -> bytes:
    try:
        features = tf.train.Example.FromString(record).features.feature
    except Exception:  # Of protobuf; the class depends on its build.
        return b''
    values = features[key].bytes_list.value if key in features else ()
    return values[0] if values else b''
