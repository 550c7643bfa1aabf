"""Warm-up requests for TensorFlow Serving, which avoid a slow first request.

Serving replays the records of `assets.extra/tf_serving_warmup_requests` before it
serves a version (https://www.tensorflow.org/tfx/serving/saved_model_warmup). A
record is a `tensorflow.serving.PredictionLog`. Its official classes come with
`tensorflow-serving-api`, which must match TensorFlow's exact version and is optional
here; so the few required fields are declared again, with their numbers in
prediction_log.proto, predict.proto, classification.proto, regression.proto, input.proto
and model.proto. Fields that hold TensorFlow's own messages are declared as bytes, which
has the same wire format.
"""

import functools
import io
from collections.abc import Iterator
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import numpy as np
import tensorflow as tf

from estimator_clf.export.signatures import IMAGE_KEY, VALUES_KEY
from input.dataset_info import DatasetInfo

v1 = tf.compat.v1

FILE_NAME = 'tf_serving_warmup_requests'

#: Examples per request: two sizes, to warm up more than one shape.
BATCH_SIZES = (1, 8)

# message -> field -> (number, type, repeated)
_MESSAGES: dict[str, dict[str, tuple[Any, ...]]] = {
    'PredictionLog': {
        'classify_log': (2, 'ClassifyLog'),
        'regress_log': (3, 'RegressLog'),
        'predict_log': (6, 'PredictLog'),
    },
    'PredictLog': {'request': (1, 'PredictRequest')},
    'ClassifyLog': {'request': (1, 'ExamplesRequest')},
    'RegressLog': {'request': (1, 'ExamplesRequest')},
    'PredictRequest': {'model_spec': (1, 'ModelSpec'), 'inputs': (2, 'Entry', True)},
    # For both classification and regression.
    'ExamplesRequest': {'model_spec': (1, 'ModelSpec'), 'input': (2, 'Input')},
    'ModelSpec': {'name': (1, 'string'), 'signature_name': (3, 'string')},
    # A map is a repeated message of key and value.
    'Entry': {'key': (1, 'string'), 'value': (2, 'bytes')},
    'Input': {'example_list': (1, 'ExampleList')},
    'ExampleList': {'examples': (1, 'bytes', True)},
}


def write(path: str, info: DatasetInfo, model: str = 'classifier') -> None:
    """Writes requests for every signature of an export.

    Args:
      path: the file.
      info: description of the data.
      model: name of the model in the requests; Serving ignores it.
    """
    with tf.io.TFRecordWriter(path) as file:
        for size in BATCH_SIZES:
            for log in _logs(info, size, model):
                file.write(log.SerializeToString(deterministic=True))


def read(path: str) -> list[tuple[str, dict[str, Any]]]:
    """Reads warm-up requests, also of other programs.

    Returns:
      (signature name, values to feed by input: array or list of bytes) each.

    Raises:
      ValueError: a record is not a predict, classify or regress request.
    """
    requests = []
    for record in v1.io.tf_record_iterator(path):
        log = _message('PredictionLog').FromString(record)
        if log.HasField('predict_log'):
            request = log.predict_log.request
            inputs: dict[str, Any] = {e.key: _array(e.value) for e in request.inputs}
        elif log.HasField('classify_log') or log.HasField('regress_log'):
            field = 'classify_log' if log.HasField('classify_log') else 'regress_log'
            request = getattr(log, field).request
            inputs = {'inputs': list(request.input.example_list.examples)}
        else:
            raise ValueError('a record is no predict, classify or regress request')
        requests.append((request.model_spec.signature_name, inputs))
    return requests


def _logs(info: DatasetInfo, size: int, model: str) -> Iterator[Any]:
    def predict(signature, name, values, shape=None):
        log = _message('PredictionLog')()
        request = log.predict_log.request
        request.model_spec.name = model
        request.model_spec.signature_name = signature
        proto = v1.make_tensor_proto(values, shape=shape)
        request.inputs.add(key=name, value=proto.SerializeToString())
        return log

    def examples(signature, field, records):
        log = _message('PredictionLog')()
        request = getattr(log, field).request
        request.model_spec.name = model
        request.model_spec.signature_name = signature
        request.input.example_list.examples.extend(records)
        return log

    if not info.class_names:
        x = np.zeros([size, *info.image_shape], np.float32)
        numbers = tf.train.FloatList(value=x[0])
        records = [_example(VALUES_KEY, float_list=numbers)] * size
        yield predict('serving_default', 'x', x)
        yield predict('examples', 'examples', records)
        yield examples('regress', 'regress_log', records)
        return
    pixels = _image(info.image_shape)
    # Most clients send JPEG; the other decoders have no start-up cost.
    data = _encoded(pixels)
    records = [_example(IMAGE_KEY, bytes_list=tf.train.BytesList(value=[data]))] * size
    yield predict('serving_default', 'image_bytes', [data] * size)
    # One gray value for all pixels: a TensorProto repeats the last of its values. All
    # pixels of eight photos would be larger than a small network.
    yield predict('tensor', 'image', np.uint8(128), [size, *info.image_shape])
    yield predict('examples', 'examples', records)
    yield examples('classify', 'classify_log', records)


def _image(shape: tuple[int, ...]) -> np.ndarray:
    """Returns a gradient from black to white, uint8 [H, W, C]."""
    height, width, channels = shape
    shades = np.linspace(0, 255, height * width).reshape(height, width, 1)
    return np.repeat(shades, channels, axis=2).astype(np.uint8)


def _encoded(pixels: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(
        file, 'JPEG'
    )
    return file.getvalue()


def _example(key: str, **values: Any) -> bytes:
    features = tf.train.Features(feature={key: tf.train.Feature(**values)})
    return tf.train.Example(features=features).SerializeToString()


def _array(data: bytes) -> np.ndarray:
    proto = v1.make_tensor_proto(0)  # The only public way to obtain a TensorProto.
    proto.ParseFromString(data)
    return tf.make_ndarray(proto)


@functools.cache
def _classes() -> dict[str, Any]:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    package = 'estimator_clf.warmup'  # Differs from the official package name.
    file = descriptor_pb2.FileDescriptorProto(
        name='estimator_clf/warmup.proto', package=package, syntax='proto3'
    )
    simple = {'string': field.TYPE_STRING, 'bytes': field.TYPE_BYTES}
    for message, fields in _MESSAGES.items():
        descriptor = file.message_type.add(name=message)
        for name, (number, kind, *repeated) in fields.items():
            new = descriptor.field.add(name=name, number=number)
            new.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            new.type = simple.get(kind, field.TYPE_MESSAGE)
            if kind not in simple:
                new.type_name = f'.{package}.{kind}'
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f'{package}.{name}')
        )
        for name in _MESSAGES
    }


def _message(name: str) -> Any:
    return _classes()[name]
