"""The pictures of TFRecord files one by one, whatever else the records hold."""

import os

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import tensorflow as tf

from input.decode import kind_of
from input.encoded_source import short_reason
from input.errors import DataError
from input.record_files import compression_of

v1 = tf.compat.v1


def is_record_file(path):
    """Tells by its first bytes whether a file is a TFRecord file."""
    try:
        if not os.path.getsize(path):
            return False
        with open(path, 'rb') as file:
            if kind_of(file.read(8)):
                return False
        compression_of(path)
    except (OSError, DataError):
        return False
    return True


def read_pictures(path, key):
    """Reads the pictures of a file in their order.

    Args:
      path: the file.
      key: the feature that holds the picture.

    Yields:
      bytes; empty for a record without such a feature.

    Raises:
      DataError: the file is damaged.
    """
    options = v1.io.TFRecordOptions(compression_type=compression_of(path))
    number = 0
    try:
        for record in v1.io.tf_record_iterator(path, options):
            yield _picture(record, key)
            number += 1
    except tf.errors.OpError as error:
        raise DataError(
            f'{path}, record {number} cannot be read: {short_reason(error)}'
        ) from None


def _picture(record, key):
    try:
        features = tf.train.Example.FromString(record).features.feature
    except Exception:  # Of protobuf, whose class depends on how it was built.
        return b''
    values = features[key].bytes_list.value if key in features else ()
    return values[0] if values else b''
