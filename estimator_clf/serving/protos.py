"""Between the messages of the APIs and arrays."""

import math

import numpy as np
import tensorflow as tf

from estimator_clf.serving.status import invalid

# A few bytes of a message can stand for any number of equal elements, so the size that
# it unfolds to has a limit of its own. Bytes.
_LARGEST = 1 << 30

_FIELDS = {
    'float32': 'float_val',
    'float64': 'double_val',
    'int64': 'int64_val',
    'bool': 'bool_val',
    **dict.fromkeys(('int32', 'int16', 'int8', 'uint8', 'uint16'), 'int_val'),
}


def array(proto):
    """Unpacks a `TensorProto`.

    Returns:
      Array; text as objects of type bytes.

    Raises:
      ServingError: it makes no sense.
    """
    try:
        dtype = tf.as_dtype(proto.dtype)
        sizes = [dim.size for dim in proto.tensor_shape.dim]
        # An object takes a pointer, whatever `size` says of DT_STRING.
        each = 8 if dtype == tf.string else dtype.size
        if proto.tensor_shape.unknown_rank or any(size < 0 for size in sizes):
            raise ValueError('the shape is not fully known')
        if math.prod(sizes) * each > _LARGEST:
            raise ValueError(f'more than {_LARGEST} bytes')
        result = tf.make_ndarray(proto)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise invalid(f'Tensor cannot be read: {error}') from None
    return np.asarray(result, object) if dtype == tf.string else result


def tensor(values):
    """Packs an array as TensorFlow Serving does: each value in the field of its type.

    `tf.make_tensor_proto` would put numbers into `tensor_content`, and clients that
    read `outputs['scores'].float_val` would find nothing.

    Args:
      values: array.

    Returns:
      `TensorProto`.
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


def examples(message):
    """Serializes the examples of an `Input`, as the model's parser takes them.

    Args:
      message: `tensorflow_serving.apis.input_pb2.Input`.

    Returns:
      object [N] of bytes: `tf.Example`s.

    Raises:
      ServingError: there are none.
    """
    kind = message.WhichOneof('kind')
    # Two messages one behind the other are, to protobuf, the second merged into the
    # first: that is how Serving lays the common context under each example.
    context, found = b'', ()
    if kind == 'example_list':
        found = message.example_list.examples
    elif kind == 'example_list_with_context':
        context = message.example_list_with_context.context.SerializeToString()
        found = message.example_list_with_context.examples
    if not found:
        raise invalid('Input is empty.')
    result = np.empty(len(found), object)
    result[:] = [context + example.SerializeToString() for example in found]
    return result
