"""The REST API says what TensorFlow Serving says."""

import base64
import http.client
import json

import pytest

pytest.importorskip('tensorflow_serving', reason='needs the extra `serving`')
pytest.importorskip('aiohttp', reason='needs the extra `serving`')

import numpy as np

from estimator_clf.serving.batching import Batching
from tests.helpers import serving_model as model
from tests.helpers.images import by_pillow, encode, image

BASE = f'/v1/models/{model.MODEL}'
IMAGES = model.pictures(5)


@pytest.fixture(scope='module')
def served(tmp_path_factory):
    directory = tmp_path_factory.mktemp('export')
    model.export(directory, 3)
    with model.running(
        directory, labels={'stable': 3}, max_body=1 << 20, timeout=60.0
    ) as running:
        yield running


def ask(served, method, path, body=None, headers=None):
    """Returns (status, headers, body as text)."""
    connection = http.client.HTTPConnection('127.0.0.1', served.server.port, timeout=60)
    if isinstance(body, dict):
        body = json.dumps(body)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, dict(response.headers), response.read().decode()
    finally:
        connection.close()


def post(served, path, body):
    """Returns the JSON answer, which must be none of an error."""
    status, headers, text = ask(served, 'POST', path, body)
    assert status == 200, text
    assert headers['Content-Type'].startswith('application/json')
    return json.loads(text)


def fault(served, path, body, method='POST'):
    """Returns (status, message) of an error in Serving's form."""
    status, headers, text = ask(served, method, path, body)
    assert headers['Content-Type'].startswith('application/json')
    answer = json.loads(text)
    assert list(answer) == ['error'] and answer['error']
    return status, answer['error']


def b64(data):
    return {'b64': base64.b64encode(data).decode()}


def pixels(picture):
    return by_pillow(picture, 'L').tolist()


def check(prediction, picture):
    names, scores = model.expected(picture, 3)
    assert prediction['classes'] == names
    np.testing.assert_allclose(prediction['scores'], scores, atol=1e-5)
    assert model.NAMES[prediction['class_index']] == names[0]


ROWS = {
    'named': lambda p: {'image_bytes': b64(p)},
    'alone': b64,
}


@pytest.mark.parametrize('form', ROWS)
def test_rows(served, form):
    body = {'instances': [ROWS[form](p) for p in IMAGES]}
    answer = post(served, BASE + ':predict', body)
    assert list(answer) == ['predictions']
    assert set(answer['predictions'][0]) == {
        'classes',
        'scores',
        'class_index',
        'probabilities',
        'logits',
    }
    for prediction, picture in zip(answer['predictions'], IMAGES, strict=True):
        check(prediction, picture)


def test_columns(served):
    for inputs in (
        [b64(p) for p in IMAGES],
        {'image_bytes': list(map(b64, IMAGES))},
    ):
        answer = post(served, BASE + ':predict', {'inputs': inputs})
        assert list(answer) == ['outputs']
        columns = answer['outputs']
        for number, picture in enumerate(IMAGES):
            check({name: x[number] for name, x in columns.items()}, picture)


@pytest.mark.parametrize('name', ['tensor', 'examples', 'classify'])
def test_other_signatures_predict_the_same(served, name):
    values = {
        'tensor': pixels,
        'examples': lambda p: b64(example(p)),
        'classify': lambda p: b64(example(p)),
    }
    body = {
        'signature_name': name,
        'instances': [values[name](p) for p in IMAGES],
    }
    answer = post(served, BASE + ':predict', body)
    for prediction, picture in zip(answer['predictions'], IMAGES, strict=True):
        assert prediction['classes'] == model.expected(picture, 3)[0]


def example(picture):
    import tensorflow as tf

    message = tf.train.Example()
    message.features.feature['image/encoded'].bytes_list.value.append(picture)
    return message.SerializeToString()


def test_one_output_loses_its_name(served):
    image = [pixels(p) for p in IMAGES[:2]]
    mean = [np.mean(x) / 255 for x in image]
    two = {'signature_name': 'two'}
    rows = [{'image': x, 'factor': 1.5} for x in image]
    answer = post(served, BASE + ':predict', {**two, 'instances': rows})
    np.testing.assert_allclose(answer['predictions'], mean, rtol=1e-5)
    columns = {'image': image, 'factor': [1, 2, 3]}  # Of another length, which is fine.
    answer = post(served, BASE + ':predict', {**two, 'inputs': columns})
    np.testing.assert_allclose(answer['outputs'], mean, rtol=1e-5)


def test_classify(served):
    named = {'signature_name': 'classify'}
    examples = [{'image/encoded': b64(p)} for p in IMAGES]
    bodies = [
        {**named, 'examples': examples},
        {**named, 'examples': [{'image/encoded': [b64(p)]} for p in IMAGES]},
        {**named, 'examples': [{}] * 5, 'context': examples[0]},
    ]
    for number, body in enumerate(bodies):
        answer = post(served, BASE + ':classify', body)
        assert list(answer) == ['results']
        given = IMAGES if number < 2 else IMAGES[:1] * 5
        for pairs, picture in zip(answer['results'], given, strict=True):
            names, scores = model.expected(picture, 3)
            assert [name for name, _ in pairs] == names
            np.testing.assert_allclose([s for _, s in pairs], scores, atol=1e-5)


def test_regress(served):
    body = {
        'signature_name': 'regress',
        'examples': [{'image/encoded': b64(p)} for p in IMAGES],
    }
    results = post(served, BASE + ':regress', body)['results']
    wanted = [np.mean(pixels(p)) / 255 for p in IMAGES]
    np.testing.assert_allclose(results, wanted, rtol=1e-5)


def test_float_has_the_digits_of_a_float(served):
    body = {'instances': [b64(IMAGES[0])]}
    _, _, text = ask(served, 'POST', BASE + ':predict', body)
    scores = json.loads(text)['predictions'][0]['scores']
    assert all(len(repr(x)) <= 12 for x in scores), scores


def test_versions_and_labels(served):
    body = {'instances': [b64(IMAGES[0])]}
    latest = post(served, BASE + ':predict', body)
    for path in ('/versions/3', '/labels/stable', ''):
        assert post(served, f'{BASE}{path}:predict', body) == latest
    assert fault(served, BASE + '/versions/4:predict', body) == (
        404,
        f'Servable not found for request: Specific({model.MODEL}, 4)',
    )
    assert fault(served, BASE + '/labels/other:predict', body) == (
        400,
        'Unrecognized servable version label: other',
    )
    assert fault(served, '/v1/models/other:predict', body) == (
        404,
        'Servable not found for request: Latest(other)',
    )
    huge = '9' * 30
    assert fault(served, f'{BASE}/versions/{huge}:predict', body) == (
        400,
        f'Failed to convert version: {huge} to numeric.',
    )


def test_status(served):
    wanted = {
        'version': '3',
        'state': 'AVAILABLE',
        'status': {'error_code': 'OK', 'error_message': ''},
    }
    for path in ('', '/versions/3', '/labels/stable', '/VERSIONS/3'):
        path = BASE.replace('models', 'Models') + path
        status, _, text = ask(served, 'GET', path)
        assert status == 200 and json.loads(text) == {'model_version_status': [wanted]}
    assert fault(served, BASE + '/versions/4', None, 'GET')[0] == 404
    assert fault(served, '/v1/models/other', None, 'GET') == (
        404,
        'Could not find any versions of model other',
    )
    assert fault(served, '/v1/models', None, 'GET')[0] == 400


def test_metadata(served):
    status, _, text = ask(served, 'GET', BASE + '/metadata')
    answer = json.loads(text)
    assert status == 200
    assert answer['model_spec'] == {
        'name': model.MODEL,
        'signature_name': '',
        'version': '3',
    }
    signatures = answer['metadata']['signature_def']['signature_def']
    info = signatures['serving_default']['inputs']['image_bytes']
    assert info['dtype'] == 'DT_STRING'
    assert info['tensor_shape'] == {
        'dim': [{'size': '-1', 'name': ''}],
        'unknown_rank': False,
    }
    assert signatures['classify']['method_name'] == 'tensorflow/serving/classify'


ONE = b64(IMAGES[0])
BAD_PREDICTIONS = {
    'nothing': (b'', 'The document is empty'),
    'not JSON': (b'{"instances": [', 'JSON Parse error'),
    'not UTF-8': (b'{"instances": ["\xff"]}', 'JSON Parse error'),
    'deep': (b'[' * 100_000, 'JSON Parse error'),
    'deep instances': (
        b'{"instances": ' + b'[' * 900 + b']' * 900 + b'}',
        'nested deeper than 32',
    ),
    'a list': ([1], 'Is not object'),
    'no instances': ({}, "Missing 'inputs' or 'instances' key"),
    'both': ({'instances': [ONE], 'inputs': [ONE]}, 'expecting only one of'),
    'signature of no text': ({'signature_name': 7}, 'must be a string value'),
    'no such signature': (
        {'signature_name': 'x', 'instances': [ONE]},
        '"x" not found in signature def',
    ),
    'instances no list': ({'instances': ONE}, 'to be an list/array'),
    'empty': ({'instances': []}, "No values in 'instances' array"),
    'not base64': ({'instances': [{'b64': '!!'}]}, 'Unable to base64 decode'),
    'base64 of no text': ({'instances': [{'b64': 7}]}, 'keys must be equal to'),
    'a number': ({'instances': [7]}, 'is not of expected type: string'),
    'null': ({'instances': [None]}, 'Type: Null is not of expected type: string'),
    'wrong name': ({'instances': [{'x': ONE}]}, 'keys must be equal to: image_bytes'),
    'mixed': ({'instances': [{'image_bytes': ONE}, ONE]}, 'Expecting object'),
    'missing': ({'inputs': {'x': [ONE]}}, 'Missing named input: image_bytes'),
    'one too deep': ({'instances': [[ONE]]}, 'to have shape [-1] but [1,1]'),
    'scalar': ({'inputs': ONE}, 'to have shape [-1] but []'),
    'half a pair': (b'{"instances": ["\\ud800"]}', 'surrogate'),
    'half a pair as a name': (b'{"signature_name": "\\ud800"}', 'surrogate'),
    'bytes in the message': (
        {'signature_name': 'examples', 'instances': [b64(b'\xae\xff' * 9)]},
        'Could not parse example input',
    ),
    'plain text': ({'instances': ['text']}, 'neither JPEG, PNG, GIF nor BMP'),
    'not an image': ({'instances': [b64(b'text')]}, 'neither JPEG, PNG, GIF nor BMP'),
    'truncated': ({'instances': [b64(IMAGES[0][:50])]}, 'Invalid PNG data'),
}
BAD_TENSORS = {
    'text': ('x', 'is not of expected type: uint8'),
    'a fraction': ([[[0.5] * 1] * 8] * 8, 'is not of expected type: uint8'),
    'too large': ([[[256]] * 8] * 8, 'is not of expected type: uint8'),
    'true': ([[[True]] * 8] * 8, 'Type: True is not of expected type: uint8'),
    'ragged': ([[[1]] * 8] * 7 + [[[1]] * 7], 'unexpected size: 7 at level: 1'),
    'levels': ([[[1]] * 8] * 7 + [[1] * 8], 'at incorrect level'),
    'other shape': ([[[1]] * 9] * 9, 'to have shape [-1,8,8,1] but [1,9,9,1]'),
    'bytes': (ONE, 'is not of expected type: uint8'),
}


@pytest.mark.parametrize('name', BAD_PREDICTIONS)
def test_bad_prediction(served, name):
    body, words = BAD_PREDICTIONS[name]
    body = body if isinstance(body, bytes) else json.dumps(body)
    status, message = fault(served, BASE + ':predict', body)
    assert status == 400 and words in message, message
    assert len(message) <= 1000


@pytest.mark.parametrize('name', BAD_TENSORS)
def test_bad_tensor(served, name):
    value, words = BAD_TENSORS[name]
    body = {'signature_name': 'tensor', 'instances': [value]}
    status, message = fault(served, BASE + ':predict', body)
    assert status == 400 and words in message, message


BAD_EXAMPLES = {
    'missing': ({}, "key 'examples' is expected"),
    'no list': ({'examples': {}}, 'to be an list/array'),
    'empty': ({'examples': []}, 'is an empty array'),
    'no object': ({'examples': [7]}, 'Example must be JSON object but got JSON Number'),
    'null': ({'examples': [{'x': None}]}, 'unexpected JSON type: Null'),
    'nested': ({'examples': [{'x': [[1]]}]}, 'unexpected JSON type: Array'),
    'mixed': ({'examples': [{'x': [1, 'y']}]}, 'Unexpected element type in feature: x'),
    'uint64': ({'examples': [{'x': 1 << 63}]}, 'Only int64 is supported'),
    'too large': ({'examples': [{'x': 1e300}]}, 'without loss of precision'),
    'no image': ({'examples': [{'x': 1}]}, 'image/encoded'),
    'of no kind': ({'examples': [{'image/encoded': 1.5}]}, 'image/encoded'),
    'default signature': (
        {'examples': [{}], 'signature_name': ''},
        'to be tensorflow/serving/classify. Was: tensorflow/serving/predict',
    ),
}


@pytest.mark.parametrize('name', BAD_EXAMPLES)
def test_bad_examples(served, name):
    body, words = BAD_EXAMPLES[name]
    body = {'signature_name': 'classify', **body}
    status, message = fault(served, BASE + ':classify', body)
    assert status == 400 and words in message, message


def test_base64_without_padding_and_with_spaces(served):
    text = base64.b64encode(IMAGES[0]).decode()
    lines = '\n '.join(text[i : i + 7] for i in range(0, len(text), 7))
    assert text.endswith('=')
    for written in (text.rstrip('='), lines):
        body = {'instances': [{'b64': written}]}
        check(post(served, BASE + ':predict', body)['predictions'][0], IMAGES[0])


@pytest.mark.parametrize('method', ['PUT', 'DELETE', 'OPTIONS', 'PATCH', 'GET'])
def test_methods_that_there_are_not(served, method):
    status, message = fault(served, BASE + ':predict', None, method)
    assert (status, message) == (400, f'Malformed request: {method} {BASE}:predict')


def test_paths_that_there_are_not(served):
    assert fault(served, '/v1/other', None, 'GET')[0] == 400
    assert fault(served, '/other', None, 'GET')[0] == 404
    assert fault(served, '/', {'x': 1})[0] == 405
    assert fault(served, BASE + '/nix', None, 'GET')[0] == 400


def test_large_body(served):
    body = {'instances': ['x' * (1 << 20)]}
    assert fault(served, BASE + ':predict', body)[0] == 413


def test_more_images_than_a_batch(served):
    many = IMAGES * 5
    answer = post(served, BASE + ':predict', {'instances': [b64(p) for p in many]})
    for prediction, picture in zip(answer['predictions'], many, strict=True):
        check(prediction, picture)
    many[17] = b'x'
    status, message = fault(
        served, BASE + ':predict', {'instances': [b64(p) for p in many]}
    )
    assert status == 400 and message.startswith('in examples 16 to 23 of the request')


@pytest.mark.parametrize(
    'mode, kind',
    [
        ('RGB', 'JPEG'),
        ('L', 'JPEG'),
        ('CMYK', 'JPEG'),
        ('RGBA', 'PNG'),
        ('P', 'PNG'),
        ('I;16', 'PNG'),
        ('L', 'GIF'),
        ('RGB', 'BMP'),
    ],
)
def test_images_of_other_kinds(served, mode, kind):
    data = encode(image(mode, 30, 20), kind)
    answer = post(served, BASE + ':predict', {'instances': [b64(data)]})
    assert sum(answer['predictions'][0]['scores']) == pytest.approx(1)


def test_the_smallest_and_too_large_a_image(served):
    data = encode(image('L', 1, 1), 'PNG')
    assert post(served, BASE + ':predict', {'instances': [b64(data)]})
    # A few bytes that claim 20,000 x 20,000 pixels.
    bomb = encode(np.zeros([20_000, 2_000, 1], np.uint8), 'PNG')
    status, message = fault(served, BASE + ':predict', {'instances': [b64(bomb)]})
    assert status == 400 and '2000 x 20000 pixels are more than' in message


def test_an_animated_gif_counts_as_its_first_frame(served):
    frames = [image('L', 8, 8, seed) for seed in range(3)]
    data = encode(frames[0], 'GIF', save_all=True, append_images=frames[1:])
    still = encode(frames[0], 'GIF')
    both = {'instances': [b64(data), b64(still)]}
    first, second = post(served, BASE + ':predict', both)['predictions']
    assert first['scores'] == second['scores']


def test_metrics(served):
    post(served, BASE + ':predict', {'instances': [ONE] * 3})
    status, headers, text = ask(served, 'GET', '/monitoring/prometheus/metrics')
    assert status == 200 and headers['Content-Type'].startswith('text/plain')
    values = dict(
        line.rsplit(' ', 1) for line in text.splitlines() if not line.startswith('#')
    )
    where = f'API="Predict",entrypoint="REST",model_name="{model.MODEL}"'
    name = ':tensorflow:serving:request_count_total'
    assert float(values[f'{name}{{{where},status="OK"}}']) >= 1
    name = ':tensorflow:serving:request_latency_count'
    assert float(values[f'{name}{{{where}}}']) >= 1
    batches = ':tensorflow:serving:batching_session:processed_batch_size_sum'
    assert float(values[f'{batches}{{model_name="{model.MODEL}"}}']) >= 3
    version = (
        f'estimator_clf_version_available{{model_name="{model.MODEL}",version="3"}}'
    )
    assert float(values[version]) == 1


def test_description_names_what_there_is(served):
    status, _, text = ask(served, 'GET', '/openapi.json')
    answer = json.loads(text)
    assert status == 200 and answer['openapi'].startswith('3.')
    for path in answer['paths']:
        path = path.replace('{version}', '3').replace('{label}', 'stable')
        for method in ('GET', 'POST'):
            status, _, _ = ask(served, method, path, {} if method == 'POST' else None)
            wanted = method.lower() in answer['paths'].get(path, [method.lower()])
            assert status in (200, 400) if wanted else status in (400, 405), path


def test_the_image_as_the_network_sees_it(served):
    data = encode(image('RGB', 40, 60), 'PNG')
    connection = http.client.HTTPConnection('127.0.0.1', served.server.port, timeout=60)
    connection.request('POST', '/seen', data)
    response = connection.getresponse()
    seen = response.read()
    connection.close()
    assert response.status == 200 and response.getheader('Content-Type') == 'image/png'
    assert by_pillow(seen, 'L').shape == (model.SIZE, model.SIZE, 1)
    # Classified, it is what the image was classified as.
    both = {'instances': [b64(data), b64(seen)]}
    first, second = post(served, BASE + ':predict', both)['predictions']
    assert first == second
    assert fault(served, '/seen', b'text')[0] == 400


def test_without_batching(tmp_path):
    model.export(tmp_path)
    with model.running(tmp_path, batching=Batching(1, 0, 1)) as served:
        body = {'instances': [b64(p) for p in IMAGES]}
        found = post(served, BASE + ':predict', body)['predictions']
        for prediction, picture in zip(found, IMAGES, strict=True):
            assert prediction['classes'] == model.expected(picture)[0]
