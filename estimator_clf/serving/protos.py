"""Converts between messages of the gRPC API and arrays."""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from estimator_clf.serving.errors import invalid_argument

# A few bytes of a message can stand for any number of equal elements, so the unpacked
# size needs its own limit. Bytes.
_MAX_BYTES = 1 << 30

_FIELDS = {
    'float32': 'float_val',
    'float64': 'double_val',
    'int64': 'int64_val',
    'bool': 'bool_val',
    **dict.fromkeys(('int32', 'int16', 'int8', 'uint8', 'uint16'), 'int_val'),
}


def to_array(proto: Any) -> np.ndarray:
    """Unpacks a `TensorProto`; strings become objects of type bytes.

    Raises:
      ServingError: the message is invalid or too large.
    """
    try:
        dtype = tf.as_dtype(proto.dtype)
        sizes = [dim.size for dim in proto.tensor_shape.dim]
        # An object takes a pointer, whatever `size` is for DT_STRING.
        each = 8 if dtype == tf.string else dtype.size
        if proto.tensor_shape.unknown_rank or any(size < 0 for size in sizes):
            raise ValueError('its shape must be fully known')
        if math.prod(sizes) * each > _MAX_BYTES:
            raise ValueError(f'it must have at most {_MAX_BYTES} bytes, got {sizes}')
        result = tf.make_ndarray(proto)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise invalid_argument(f'a tensor cannot be read: {error}') from None
    return np.asarray(result, object) if dtype == tf.string else result


def to_proto(values: np.ndarray) -> Any:
    """Packs an array into a `TensorProto`, each value in the field of its type.

    TensorFlow Serving does so too. `tf.make_tensor_proto` packs numbers into
    `tensor_content`, where clients that read `outputs['scores'].float_val` would find
    nothing.
    """
    values = np.asarray(values)
    proto = tf.make_tensor_proto(np.zeros([0], values.dtype), shape=[0])
    field = _FIELDS.get(values.dtype.name)
    if values.dtype.kind in 'OSU':
        proto.string_val.extend(tf.compat.as_bytes(x) for x in values.ravel())
    elif field:
        proto.ClearField('tensor_content')
        getattr(proto, field).extend(values.ravel().tolist())
    else:
        return tf.make_tensor_proto(values)
    del proto.tensor_shape.dim[:]
    for size in values.shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


def serialized_examples(message: Any) -> np.ndarray:
    """Serializes the examples of a `tensorflow.serving.Input`.

    Returns:
      object [N] of bytes: `tf.Example`s, each merged with the context.

    Raises:
      ServingError: there are none.
    """
    kind = message.WhichOneof('kind')
    # Concatenated messages are the second merged into the first.
    context, found = b'', ()
    if kind == 'example_list':
        found = message.example_list.examples
    elif kind == 'example_list_with_context':
        context = message.example_list_with_context.context.SerializeToString()
        found = message.example_list_with_context.examples
    if not found:
        raise invalid_argument('`input` must have at least one example, got none')
    result = np.empty(len(found), object)
    result[:] = [context + example.SerializeToString() for example in found]
    return result
