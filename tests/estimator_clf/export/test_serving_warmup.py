"""Tests of warm-up requests with TensorFlow Serving's own classes."""

from estimator_clf.compat import estimator  # noqa: F401

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.export import serving_warmup
from input.dataset_info import DatasetInfo

v1 = tf.compat.v1

IMAGES = DatasetInfo('p', ('a', 'b'), (6, 8, 3), {}, (0.0,), (1.0,))
NUMBERS = DatasetInfo('n', (), (3,), {}, (0.0,), (1.0,))


@pytest.mark.parametrize(
    'info, signatures',
    [
        (IMAGES, ['serving_default', 'tensor', 'examples', 'classify']),
        (NUMBERS, ['serving_default', 'examples', 'regress']),
    ],
)
def test_each_signature_has_requests_of_both_sizes(info, signatures, tmp_path):
    path = str(tmp_path / 'warm')
    serving_warmup.write(path, info)
    requests = serving_warmup.read(path)
    found = [(name, len(*inputs.values())) for name, inputs in requests]
    assert found == [(name, size) for size in (1, 8) for name in signatures]


def test_official_classes_read_them(tmp_path):
    logs = pytest.importorskip(
        'tensorflow_serving.apis.prediction_log_pb2', reason='extra: serving'
    )
    path = str(tmp_path / 'warm')
    serving_warmup.write(path, IMAGES)
    records = list(v1.io.tf_record_iterator(path))
    requests = [logs.PredictionLog.FromString(record) for record in records]
    assert [log.WhichOneof('log_type') for log in requests[:4]] == [
        'predict_log',
        'predict_log',
        'predict_log',
        'classify_log',
    ]
    spec = requests[1].predict_log.request.model_spec
    assert (spec.name, spec.signature_name) == ('classifier', 'tensor')
    image = tf.make_ndarray(requests[5].predict_log.request.inputs['image'])
    assert image.shape == (8, 6, 8, 3) and image.dtype == np.uint8
    examples = requests[7].classify_log.request.input.example_list.examples
    assert len(examples) == 8
    data = examples[0].features.feature['image/encoded'].bytes_list.value[0]
    assert tf.io.decode_image(data).shape == (6, 8, 3)
    # No fields that are unknown to the official classes.
    for record, log in zip(records, requests, strict=True):
        assert type(log).FromString(log.SerializeToString()) == log
        assert log.ByteSize() == len(record)
    serving_warmup.write(path, NUMBERS)
    last = list(v1.io.tf_record_iterator(path))[-1]
    request = logs.PredictionLog.FromString(last).regress_log.request
    assert request.model_spec.signature_name == 'regress'
    assert len(request.input.example_list.examples) == 8


def test_official_requests_can_be_read(tmp_path):
    logs = pytest.importorskip(
        'tensorflow_serving.apis.prediction_log_pb2', reason='extra: serving'
    )
    log = logs.PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = 'other'
    request.inputs['x'].CopyFrom(v1.make_tensor_proto([1.5, 2.5]))
    path = str(tmp_path / 'warm')
    with tf.io.TFRecordWriter(path) as file:
        file.write(log.SerializeToString())
    ((name, inputs),) = serving_warmup.read(path)
    assert name == 'other' and inputs['x'].tolist() == [1.5, 2.5]


def test_unknown_kind_of_request_is_refused(tmp_path):
    path = str(tmp_path / 'warm')
    with tf.io.TFRecordWriter(path) as file:
        file.write(b'')
    with pytest.raises(ValueError, match='no predict, classify or regress'):
        serving_warmup.read(path)
