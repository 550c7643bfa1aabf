"""The gRPC services implement the API of TensorFlow Serving."""

import base64
import threading

import pytest

pytest.importorskip('tensorflow_serving', reason='needs the extra `serving`')
pytest.importorskip('aiohttp', reason='needs the extra `serving`')

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from estimator_clf.serving import grpc_api, servable
from estimator_clf.serving.memory_budget import MemoryBudget
from estimator_clf.serving.metrics import Metrics
from tests.helpers import serving_model as model
from tests.helpers.images import by_pillow

IMAGES = model.gray_pngs(5)
CODE = grpc.StatusCode


@pytest.fixture(scope='module')
def served(tmp_path_factory):
    directory = tmp_path_factory.mktemp('export')
    model.export(directory, 3)
    with model.running(directory, grpc_port=0, max_body=1 << 20) as running:
        yield running


@pytest.fixture(scope='module')
def channel(served):
    with grpc.insecure_channel(f'127.0.0.1:{served.server.grpc_port}') as opened:
        yield opened


@pytest.fixture(scope='module')
def prediction(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope='module')
def models(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def request(kind=predict_pb2.PredictRequest, signature='', name=model.MODEL):
    message = kind()
    message.model_spec.name = name
    message.model_spec.signature_name = signature
    return message


def predict_request(key='image_bytes', values=IMAGES, signature='', **options):
    message = request(signature=signature, **options)
    if isinstance(values, list):
        values = np.array(values, object)
    message.inputs[key].CopyFrom(tf.make_tensor_proto(values))
    return message


def example(encoded):
    message = tf.train.Example()
    message.features.feature['image/encoded'].bytes_list.value.append(encoded)
    return message


def error_of(call, message):
    """Returns (code, details) of the error of a call."""
    with pytest.raises(grpc.RpcError) as caught:
        call(message, timeout=60)
    return caught.value.code(), caught.value.details()


@pytest.mark.parametrize(
    'key, signature, values',
    [
        ('image_bytes', '', IMAGES),
        ('image_bytes', 'serving_default', IMAGES),
        ('image', 'tensor', np.stack([by_pillow(p, 'L') for p in IMAGES])),
        ('examples', 'examples', [example(p).SerializeToString() for p in IMAGES]),
    ],
)
def test_predict(prediction, key, signature, values):
    answer = prediction.Predict(predict_request(key, values, signature), timeout=60)
    assert answer.model_spec.name == model.MODEL
    assert answer.model_spec.version.value == 3
    assert answer.model_spec.signature_name == signature or 'serving_default'
    found = {name: tf.make_ndarray(x) for name, x in answer.outputs.items()}
    for number, png in enumerate(IMAGES):
        names, scores = model.expected(png, 3)
        assert [x.decode() for x in found['classes'][number]] == names
        np.testing.assert_allclose(found['scores'][number], scores, atol=1e-5)
    assert found['class_index'].dtype == np.int64
    # Clients read these fields without unpacking the array.
    assert len(answer.outputs['scores'].float_val) == 15
    assert len(answer.outputs['class_index'].int64_val) == 5


def test_output_filter(prediction):
    message = predict_request()
    message.output_filter.extend(['scores'])
    assert set(prediction.Predict(message, timeout=60).outputs) == {'scores'}
    message.output_filter.extend(['x'])
    code, details = error_of(prediction.Predict, message)
    assert code == CODE.INVALID_ARGUMENT and "got ['x']" in details


def test_empty_batch(prediction):
    answer = prediction.Predict(predict_request(values=[]), timeout=60)
    assert tf.make_ndarray(answer.outputs['classes']).shape == (0, 3)


def test_classify(prediction):
    message = request(classification_pb2.ClassificationRequest, 'classify')
    message.input.example_list.examples.extend(map(example, IMAGES))
    with_context = request(classification_pb2.ClassificationRequest, 'classify')
    shared = with_context.input.example_list_with_context
    shared.context.CopyFrom(example(IMAGES[1]))
    shared.examples.extend([tf.train.Example(), example(IMAGES[0])])
    for given, wanted in (
        (message, IMAGES),
        (with_context, [IMAGES[1], IMAGES[0]]),
    ):
        answer = prediction.Classify(given, timeout=60)
        found = answer.result.classifications
        for item, png in zip(found, wanted, strict=True):
            names, scores = model.expected(png, 3)
            assert [c.label for c in item.classes] == names
            np.testing.assert_allclose([c.score for c in item.classes], scores, 1e-4)
    assert answer.model_spec.signature_name == 'classify'


def test_regress(prediction):
    message = request(regression_pb2.RegressionRequest, 'regress')
    message.input.example_list.examples.extend(map(example, IMAGES))
    answer = prediction.Regress(message, timeout=60)
    wanted = [by_pillow(p, 'L').mean() / 255 for p in IMAGES]
    found = [item.value for item in answer.result.regressions]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_metadata(prediction):
    message = request(get_model_metadata_pb2.GetModelMetadataRequest)
    assert error_of(prediction.GetModelMetadata, message)[0] == CODE.INVALID_ARGUMENT
    message.metadata_field.append('signature_def')
    answer = prediction.GetModelMetadata(message, timeout=60)
    assert answer.model_spec.version.value == 3
    found = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata['signature_def'].Unpack(found)
    assert set(found.signature_def) >= {'serving_default', 'tensor', 'classify'}
    message.metadata_field.append('x')
    assert "'x'" in error_of(prediction.GetModelMetadata, message)[1]


def test_status(models):
    message = request(get_model_status_pb2.GetModelStatusRequest)
    (status,) = models.GetModelStatus(message, timeout=60).model_version_status
    assert status.version == 3 and status.status.error_code == 0
    assert status.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE
    message.model_spec.version.value = 4
    code, details = error_of(models.GetModelStatus, message)
    assert code == CODE.NOT_FOUND
    assert f'no version 4 of model {model.MODEL}; known: 3' in details


def test_reload_sets_labels(models, prediction, served):
    message = model_management_pb2.ReloadConfigRequest()
    config = message.config.model_config_list.config.add(name=model.MODEL)
    config.version_labels['new'] = 3
    assert models.HandleReloadConfigRequest(message, timeout=60).status.error_code == 0
    labeled = predict_request()
    labeled.model_spec.version_label = 'new'
    assert prediction.Predict(labeled, timeout=60).model_spec.version.value == 3
    config.version_labels['new'] = 4
    code, details = error_of(models.HandleReloadConfigRequest, message)
    assert (
        code == CODE.FAILED_PRECONDITION and 'must name an available version' in details
    )
    config.name = 'other'
    code, _ = error_of(models.HandleReloadConfigRequest, message)
    assert code == CODE.UNIMPLEMENTED


def test_multi_inference_is_refused(prediction):
    message = inference_pb2.MultiInferenceRequest()
    code, details = error_of(prediction.MultiInference, message)
    assert code == CODE.UNIMPLEMENTED and 'use TensorFlow Serving' in details


INVALID = {
    'no spec': (
        predict_pb2.PredictRequest(),
        'INVALID_ARGUMENT',
        'must name the model',
    ),
    'other model': (
        predict_request(name='x'),
        'NOT_FOUND',
        'has the model shades, got x',
    ),
    'signature': (predict_request(signature='x'), 'INVALID_ARGUMENT', "got 'x'"),
    'nothing': (
        request(),
        'INVALID_ARGUMENT',
        "takes the inputs ['image_bytes'], got []",
    ),
    'wrong key': (predict_request('x'), 'INVALID_ARGUMENT', "got ['x']"),
    'wrong type': (
        predict_request(values=np.zeros([2], np.float32)),
        'INVALID_ARGUMENT',
        'input image_bytes must have the type string, got float32',
    ),
    'wrong shape': (
        predict_request(values=np.zeros([2, 2], 'S1').astype(object)),
        'INVALID_ARGUMENT',
        'must have the shape (None,), got (2, 2)',
    ),
    'no image': (
        predict_request(values=[IMAGES[0], b'x']),
        'INVALID_ARGUMENT',
        'neither JPEG, PNG, GIF nor BMP',
    ),
}


@pytest.mark.parametrize('name', INVALID)
def test_invalid_request(prediction, name):
    message, code, words = INVALID[name]
    found, details = error_of(prediction.Predict, message)
    assert found == CODE[code] and words in details


def test_invalid_tensors(prediction):
    bomb = predict_request('image', np.zeros([1, 8, 8, 1], np.uint8), 'tensor')
    tensor = bomb.inputs['image']
    cases = []
    # One value, repeated 10^10 times.
    tensor.tensor_shape.dim[0].size = 10**10
    cases.append((bomb, 'must have at most'))
    negative = predict_request('image', np.zeros([1, 8, 8, 1], np.uint8), 'tensor')
    negative.inputs['image'].tensor_shape.dim[0].size = -1
    cases.append((negative, 'must be fully known'))
    short = predict_request('image', np.zeros([1, 8, 8, 1], np.uint8), 'tensor')
    short.inputs['image'].tensor_content = b'x' * 63
    cases.append((short, 'a tensor cannot be read'))
    typeless = request(signature='tensor')
    typeless.inputs['image'].SetInParent()
    cases.append((typeless, 'a tensor cannot be read'))
    for message, words in cases:
        code, details = error_of(prediction.Predict, message)
        assert code == CODE.INVALID_ARGUMENT and words in details, details


def test_message_above_the_size_limit(prediction):
    message = predict_request(values=[b'x' * (2 << 20)])
    code, details = error_of(prediction.Predict, message)
    assert code == CODE.RESOURCE_EXHAUSTED
    assert f'must be at most {1 << 20} bytes (`max_body`), got 2097' in details
    message = predict_request(values=[b'x' * (5 << 20)])  # gRPC's own error.
    assert error_of(prediction.Predict, message)[0] == CODE.RESOURCE_EXHAUSTED


def test_run_exceeding_the_timeout(served, prediction, monkeypatch):
    go, run = threading.Event(), servable.Servable.run

    def slow(*args):
        go.wait(20)
        return run(*args)

    monkeypatch.setattr(servable.Servable, 'run', slow)
    service = grpc_api.PredictionService(
        served.server._engine, Metrics('x'), MemoryBudget(1 << 20), 0.1
    )
    context = Context()
    with pytest.raises(Aborted):
        served.call(service.Predict(predict_request(), context))
    go.set()
    code, details = context.aborted
    assert code == CODE.DEADLINE_EXCEEDED and 'within 0.1 s (`timeout`)' in details


def test_requests_above_the_memory_budget(served):
    budget = MemoryBudget(1 << 20)
    service = grpc_api.PredictionService(
        served.server._engine, Metrics('x'), budget, 60
    )
    context, message = Context(), predict_request(values=IMAGES[:1])
    with budget.hold(16 << 20), pytest.raises(Aborted):
        served.call(service.Predict(message, context))
    code, details = context.aborted
    assert code == CODE.UNAVAILABLE and '16 times 1048576 bytes (`max_body`)' in details
    assert served.call(service.Predict(message, context)).outputs  # Given back.


class Aborted(Exception):
    """Raised by `Context.abort`."""


class Context:
    """A gRPC context that records the error."""

    async def abort(self, *error):
        self.aborted = error
        raise Aborted


def test_error_names_the_form_of_the_image(prediction):
    text = base64.b64encode(IMAGES[0])
    code, details = error_of(
        prediction.Predict, predict_request(values=[IMAGES[0], text])
    )
    assert code == CODE.INVALID_ARGUMENT
    assert "`inputs['image_bytes'][1]` is the base64 text of a PNG image" in details
    assert 'the bytes themselves, not base64' in details
    message = request(classification_pb2.ClassificationRequest, 'classify')
    message.input.example_list.examples.append(example(text))
    details = error_of(prediction.Classify, message)[1]
    assert 'image/encoded of example 0 is the base64 text of a PNG image' in details


def test_classify_without_examples(prediction):
    message = request(classification_pb2.ClassificationRequest, 'classify')
    assert 'at least one example' in error_of(prediction.Classify, message)[1]
    message.input.example_list.examples.add()
    assert 'image/encoded' in error_of(prediction.Classify, message)[1]
    message.model_spec.signature_name = ''
    details = error_of(prediction.Classify, message)[1]
    assert 'serving_default has tensorflow/serving/predict' in details
