"""A served export returns the predictions of its checkpoint through both APIs."""

import base64
import json
import urllib.request

import pytest

pytest.importorskip('tensorflow_serving', reason='needs the extra `serving`')
pytest.importorskip('aiohttp', reason='needs the extra `serving`')

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tests.helpers import serving_model
from tests.helpers.exported import PHOTOS, Model, of_photos
from tests.helpers.small_run import linear_model_fn, source

BATCH = 40  # Images in a request.


def example(encoded):
    message = tf.train.Example()
    message.features.feature['image/encoded'].bytes_list.value.append(encoded)
    return message


def b64(content):
    return {'b64': base64.b64encode(content).decode()}


class Clients:
    """Requests (class names, probabilities) of images in every way."""

    def __init__(self, served):
        self._url = f'{served.server.url}/v1/models/{serving_model.MODEL}'
        address = f'127.0.0.1:{served.server.grpc_port}'
        self._channel = grpc.insecure_channel(address)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def json_value(self, signature, sample):
        value = {
            'serving_default': lambda: b64(sample.encoded),
            'examples': lambda: b64(example(sample.encoded).SerializeToString()),
            'tensor': lambda: sample.features['image'].tolist(),
        }
        return value[signature]()

    def rest_predict(self, signature, samples):
        rows = [self.json_value(signature, sample) for sample in samples]
        body = {'signature_name': signature, 'instances': rows}
        found = self._post('predict', body)['predictions']
        return [list(zip(x['classes'], x['scores'], strict=True)) for x in found]

    def rest_classify(self, samples):
        rows = [{'image/encoded': b64(sample.encoded)} for sample in samples]
        body = {'signature_name': 'classify', 'examples': rows}
        return self._post('classify', body)['results']

    def grpc_predict(self, signature, samples):
        key, values = {
            'serving_default': lambda: ('image_bytes', [x.encoded for x in samples]),
            'examples': lambda: (
                'examples',
                [example(x.encoded).SerializeToString() for x in samples],
            ),
            'tensor': lambda: ('image', [x.features['image'] for x in samples]),
        }[signature]()
        dtype = None if key == 'image' else object
        request = predict_pb2.PredictRequest()
        request.model_spec.name = serving_model.MODEL
        request.model_spec.signature_name = signature
        request.inputs[key].CopyFrom(tf.make_tensor_proto(np.array(values, dtype)))
        answer = self._stub.Predict(request, timeout=60)
        classes, scores = (
            tf.make_ndarray(answer.outputs[name]) for name in ('classes', 'scores')
        )
        return [
            [(n.decode(), s) for n, s in zip(*row, strict=True)]
            for row in zip(classes, scores, strict=True)
        ]

    def grpc_classify(self, samples):
        request = classification_pb2.ClassificationRequest()
        request.model_spec.name = serving_model.MODEL
        request.model_spec.signature_name = 'classify'
        request.input.example_list.examples.extend(example(x.encoded) for x in samples)
        found = self._stub.Classify(request, timeout=60).result.classifications
        return [[(c.label, c.score) for c in item.classes] for item in found]

    def ways(self):
        """Returns dict name -> function (samples) -> a list of pairs for each."""
        found = {
            'REST classify': self.rest_classify,
            'gRPC classify': self.grpc_classify,
        }
        for name in ('serving_default', 'tensor', 'examples'):
            found[f'REST {name}'] = lambda x, name=name: self.rest_predict(name, x)
            found[f'gRPC {name}'] = lambda x, name=name: self.grpc_predict(name, x)
        return found

    def close(self):
        self._channel.close()

    def _post(self, method, body):
        body = json.dumps(body).encode()
        with urllib.request.urlopen(f'{self._url}:{method}', body, timeout=60) as reply:
            return json.load(reply)


def check_all(model):
    """Compares every way with the checkpoint; returns the largest difference."""
    worst = 0.0
    with serving_model.running(
        model.path, grpc_port=0, timeout=60, max_body=64 << 20
    ) as served:
        clients = Clients(served)
        for name, predict in clients.ways().items():
            for start in range(0, len(model.samples), BATCH):
                stop = min(start + BATCH, len(model.samples))
                found = predict(model.samples[start:stop])
                assert len(found) == stop - start, name
                for number, pairs in zip(range(start, stop), found, strict=True):
                    wanted = [n.decode() for n in model.wanted['classes'][number]]
                    assert [label for label, _ in pairs] == wanted, name
                    scores = np.array([score for _, score in pairs])
                    gap = np.abs(scores - model.wanted['scores'][number]).max()
                    worst = max(worst, gap)
        clients.close()
    assert worst < 1e-5
    return worst


@pytest.mark.extended
def test_every_signature_through_both_apis(tmp_path):
    model = Model(str(tmp_path), source(), linear_model_fn(source().info), 20)
    check_all(model)


@pytest.mark.slow
def test_400_photos_through_both_apis(tmp_path):
    model = of_photos(str(tmp_path))
    assert len(model.samples) == PHOTOS
    print(f'\nlargest difference {check_all(model):.2g}')
