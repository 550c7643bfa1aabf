"""The REST API implements the documented API of TensorFlow Serving."""

import base64
import http.client
import json

import pytest

pytest.importorskip('tensorflow_serving', reason='needs the extra `serving`')
pytest.importorskip('aiohttp', reason='needs the extra `serving`')

import numpy as np

from estimator_clf.serving.batching import BatchingOptions
from estimator_clf.serving.codec import json_codec
from tests.helpers import serving_model as model
from tests.helpers.images import by_pillow, encode, image

BASE = f'/v1/models/{model.MODEL}'
IMAGES = model.gray_pngs(5)


@pytest.fixture(scope='module')
def served(tmp_path_factory):
    directory = tmp_path_factory.mktemp('export')
    model.export(directory, 3)
    with model.running(
        directory,
        version_labels={'stable': 3},
        max_body=1 << 20,
        timeout=60.0,
        cors_origin='https://example.org',
    ) as running:
        yield running


def send(served, method, path, body=None, headers=None):
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
    """Returns the JSON of a successful response."""
    status, headers, text = send(served, 'POST', path, body)
    assert status == 200, text
    assert headers['Content-Type'].startswith('application/json')
    return json.loads(text)


def error_of(served, path, body, method='POST'):
    """Returns (status, message) of an error response."""
    status, headers, text = send(served, method, path, body)
    assert headers['Content-Type'].startswith('application/json')
    answer = json.loads(text)
    assert list(answer) == ['error'] and answer['error']
    return status, answer['error']


def b64(data):
    return {'b64': base64.b64encode(data).decode()}


def pixels(png):
    return by_pillow(png, 'L').tolist()


def check(prediction, png):
    names, scores = model.expected(png, 3)
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
    for prediction, png in zip(answer['predictions'], IMAGES, strict=True):
        check(prediction, png)


def test_columns(served):
    for inputs in (
        [b64(p) for p in IMAGES],
        {'image_bytes': list(map(b64, IMAGES))},
    ):
        answer = post(served, BASE + ':predict', {'inputs': inputs})
        assert list(answer) == ['outputs']
        columns = answer['outputs']
        for number, png in enumerate(IMAGES):
            check({name: x[number] for name, x in columns.items()}, png)


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
    for prediction, png in zip(answer['predictions'], IMAGES, strict=True):
        assert prediction['classes'] == model.expected(png, 3)[0]


def example(encoded):
    import tensorflow as tf

    message = tf.train.Example()
    message.features.feature['image/encoded'].bytes_list.value.append(encoded)
    return message.SerializeToString()


def test_name_of_a_single_output_is_omitted(served):
    image = [pixels(p) for p in IMAGES[:2]]
    mean = [np.mean(x) / 255 for x in image]
    two = {'signature_name': 'two'}
    rows = [{'image': x, 'factor': 1.5} for x in image]
    answer = post(served, BASE + ':predict', {**two, 'instances': rows})
    np.testing.assert_allclose(answer['predictions'], mean, rtol=1e-5)
    columns = {'image': image, 'factor': [1, 2, 3]}  # Columns may differ in length.
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
        for pairs, png in zip(answer['results'], given, strict=True):
            names, scores = model.expected(png, 3)
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


def test_float32_is_written_with_its_shortest_digits(served):
    body = {'instances': [b64(IMAGES[0])]}
    _, _, text = send(served, 'POST', BASE + ':predict', body)
    scores = json.loads(text)['predictions'][0]['scores']
    assert all(len(repr(x)) <= 12 for x in scores), scores


def test_versions_and_labels(served):
    body = {'instances': [b64(IMAGES[0])]}
    latest = post(served, BASE + ':predict', body)
    for path in ('/versions/3', '/labels/stable', ''):
        assert post(served, f'{BASE}{path}:predict', body) == latest
    for path, code, words in (
        (BASE + '/versions/4', 404, 'version 4 of model shades is not available'),
        (BASE + '/labels/other', 400, 'must be one of stable, got other'),
        ('/v1/models/other', 404, 'has the model shades, got other'),
        (f'{BASE}/versions/{"9" * 30}', 400, 'at most 18 digits'),
        (f'{BASE}/versions/{"9" * 5000}', 400, 'at most 18 digits'),
    ):
        status, message = error_of(served, path + ':predict', body)
        assert status == code and words in message, message


def test_status(served):
    wanted = {
        'version': '3',
        'state': 'AVAILABLE',
        'status': {'error_code': 'OK', 'error_message': ''},
    }
    for path in ('', '/versions/3', '/labels/stable'):
        status, _, text = send(served, 'GET', BASE + path)
        assert status == 200 and json.loads(text) == {'model_version_status': [wanted]}
    assert error_of(served, BASE + '/versions/4', None, 'GET')[0] == 404
    assert error_of(served, '/v1/models/other', None, 'GET')[0] == 404
    assert error_of(served, '/v1/models', None, 'GET')[0] == 404


def test_metadata(served):
    status, _, text = send(served, 'GET', BASE + '/metadata')
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
INVALID_PREDICTIONS = {
    'nothing': (b'', 'the body must be JSON'),
    'not JSON': (b'{"instances": [', 'the body must be JSON'),
    'not UTF-8': (b'{"instances": ["\xff"]}', 'the body must be JSON'),
    'deep': (b'[' * 100_000, 'the body must be JSON'),
    'deep instances': (
        b'{"instances": ' + b'[' * 900 + b']' * 900 + b'}',
        'nested at most 16 levels deep',
    ),
    'a list': ([1], 'must be a JSON object, got [1]'),
    'deep instances of one shape': (
        b'{"instances": [' + b'[' * 32 + b'1' + b']' * 32 + b']}',
        'nested at most 16 levels deep',
    ),
    'no instances': ({}, 'either `instances` (rows) or `inputs`'),
    'both': (
        {'instances': [ONE], 'inputs': [ONE]},
        'either `instances` (rows) or `inputs`',
    ),
    'signature of no text': ({'signature_name': 7}, 'must be a string, got 7'),
    'no such signature': (
        {'signature_name': 'x', 'instances': [ONE]},
        "got 'x'",
    ),
    'instances no list': ({'instances': ONE}, 'a list of at least one value'),
    'empty': ({'instances': []}, 'a list of at least one value, got []'),
    'not base64': ({'instances': [{'b64': '!!'}]}, 'invalid base64'),
    'base64 of no text': (
        {'instances': [{'b64': 7}]},
        'must be an object with the keys',
    ),
    'a number': ({'instances': [7]}, 'must be a string or'),
    'null': ({'instances': [None]}, 'got null'),
    'wrong name': (
        {'instances': [{'x': ONE}]},
        'must be an object with the keys ["image_bytes"]',
    ),
    'mixed': (
        {'instances': [{'image_bytes': ONE}, ONE]},
        '`instances[1]` must be an object as `instances[0]`',
    ),
    'missing': ({'inputs': {'x': [ONE]}}, '`inputs` must be an object with the keys'),
    'one too deep': ({'instances': [[ONE]]}, 'must have the shape (None,), got (1, 1)'),
    'scalar': ({'inputs': ONE}, 'must have the shape (None,), got ()'),
    'half a pair': (b'{"instances": ["\\ud800"]}', 'surrogate'),
    'half a pair as a name': (b'{"signature_name": "\\ud800"}', 'surrogate'),
    'bytes in the message': (
        {'signature_name': 'examples', 'instances': [b64(b'\xae\xff' * 9)]},
        'Could not parse example input',
    ),
    'plain text': ({'instances': ['text']}, 'neither JPEG, PNG, GIF nor BMP'),
    'not an image': ({'instances': [b64(b'text')]}, 'neither JPEG, PNG, GIF nor BMP'),
    'truncated': ({'instances': [b64(IMAGES[0][:50])]}, 'a corrupt PNG'),
}
INVALID_TENSORS = {
    'text': ('x', 'must be uint8 from 0 to 255, got "x"'),
    'a fraction': ([[[0.5] * 1] * 8] * 8, 'must be uint8 from 0 to 255, got 0.5'),
    'too large': ([[[256]] * 8] * 8, 'must be uint8 from 0 to 255, got 256'),
    'true': ([[[True]] * 8] * 8, 'got true'),
    'ragged': ([[[1]] * 8] * 7 + [[[1]] * 7], 'lists of equal lengths on each level'),
    'levels': ([[[1]] * 8] * 7 + [[1] * 8], 'lists of equal lengths on each level'),
    'other shape': (
        [[[1]] * 9] * 9,
        'must have the shape (None, 8, 8, 1), got (1, 9, 9, 1)',
    ),
    'bytes': (ONE, 'must be uint8'),
}


@pytest.mark.parametrize('name', INVALID_PREDICTIONS)
def test_invalid_prediction(served, name):
    body, words = INVALID_PREDICTIONS[name]
    body = body if isinstance(body, bytes) else json.dumps(body)
    status, message = error_of(served, BASE + ':predict', body)
    assert status == 400 and words in message, message
    assert len(message) <= 1000


@pytest.mark.parametrize('name', INVALID_TENSORS)
def test_invalid_tensor(served, name):
    value, words = INVALID_TENSORS[name]
    body = {'signature_name': 'tensor', 'instances': [value]}
    status, message = error_of(served, BASE + ':predict', body)
    assert status == 400 and words in message, message


INVALID_EXAMPLES = {
    'missing': ({}, '`examples` must be a list of at least one object'),
    'no list': ({'examples': {}}, 'a list of at least one object'),
    'empty': ({'examples': []}, 'a list of at least one object, got []'),
    'no object': ({'examples': [7]}, '`examples[0]` must be an object, got 7'),
    'null': ({'examples': [{'x': None}]}, 'got null'),
    'nested': ({'examples': [{'x': [[1]]}]}, 'got [1]'),
    'mixed': ({'examples': [{'x': [1, 'y']}]}, 'all of one type, got "y"'),
    'uint64': ({'examples': [{'x': 1 << 63}]}, 'must be int64'),
    'too large': ({'examples': [{'x': 1e300}]}, 'must be float32'),
    'no image': ({'examples': [{'x': 1}]}, 'image/encoded'),
    'of no kind': ({'examples': [{'image/encoded': 1.5}]}, 'image/encoded'),
    'default signature': (
        {'examples': [{}], 'signature_name': ''},
        'set `signature_name` to one of: classify',
    ),
}


@pytest.mark.parametrize('name', INVALID_EXAMPLES)
def test_invalid_examples(served, name):
    body, words = INVALID_EXAMPLES[name]
    body = {'signature_name': 'classify', **body}
    status, message = error_of(served, BASE + ':classify', body)
    assert status == 400 and words in message, message


SEND_ROWS = 'as {"instances": [{"b64": "<base64 of the file>"}]}'
SEND_COLUMNS = 'as {"inputs": [{"b64": "<base64 of the file>"}]}'
TEXT = ONE['b64']
OTHER_FORMS = {
    'text': ({'instances': [TEXT]}, 'the base64 text of a PNG', SEND_ROWS),
    'named text': (
        {'instances': [ONE, TEXT]},
        '`instances[1]` is the base64 text of a PNG',
        SEND_ROWS,
    ),
    'column': ({'inputs': [TEXT]}, '`inputs[0]` is the base64 text', SEND_COLUMNS),
    'named column': (
        {'inputs': {'image_bytes': [TEXT]}},
        '`inputs[0]` is the base64 text',
        SEND_COLUMNS,
    ),
    'data URL': (
        {'instances': ['data:image/png;base64,' + TEXT]},
        '`instances[0]` is a data URL',
        SEND_ROWS,
    ),
    'encoded twice': (
        {'instances': [b64(TEXT.encode())]},
        'the content of `instances[0]` is the base64 text of a PNG image',
        SEND_ROWS,
    ),
    'HEIC': (
        {'instances': [b64(b'\0\0\0\x18ftypheic\0\0\0\0')]},
        'the content of `instances[0]` is a HEIC image',
        SEND_ROWS,
    ),
    'empty': ({'instances': [b64(b'')]}, '`instances[0]` is empty', SEND_ROWS),
    'data URL in b64': (
        {'instances': [{'b64': 'data:image/png;base64,' + TEXT}]},
        'invalid base64',
        'got a data URL',
    ),
    'URL-safe in b64': (
        {'instances': [{'b64': '_9j_4AAQSkZJRgABAQAAAQABAAD_'}]},
        'must be standard base64, with + and /',
        'got the URL-safe base64 text of a JPEG image',
    ),
    'Python bytes in b64': (
        {'instances': [{'b64': f"b'{TEXT}'"}]},
        'invalid base64',
        'call its .decode()',
    ),
    'list of bytes': (
        {'instances': [{'image_bytes': list(IMAGES[0])}]},
        'must be a string or {"b64": "<base64 of the bytes>"}',
        'got [137, 80, 78',
    ),
    'no instances': ({'image_bytes': ONE}, 'got the keys ["image_bytes"]', SEND_ROWS),
    'form': (
        b'--x\r\nContent-Disposition: form-data; name="x"\r\n\r\n',
        'is a multipart form',
        SEND_ROWS,
    ),
    'file': (IMAGES[0], 'the body is a PNG image', SEND_ROWS),
    'infinity': (
        b'{"signature_name": "two", "inputs": {"image": [[]], "factor": [1e999]}}',
        'factor: must be float32',
        'got Infinity',
    ),
}


@pytest.mark.parametrize('name', OTHER_FORMS)
def test_error_names_the_form_of_the_image_and_the_right_one(served, name):
    body, found, wanted = OTHER_FORMS[name]
    body = body if isinstance(body, bytes) else json.dumps(body)
    status, message = error_of(served, BASE + ':predict', body)
    assert status == 400 and found in message and wanted in message, message


def test_classify_error_names_the_form_of_the_image_and_the_right_one(served):
    for example, found in (
        ({'image/encoded': TEXT}, 'is the base64 text of a PNG image'),
        ({'image_bytes': ONE}, 'image/encoded of `examples[0]` is missing'),
    ):
        body = {'signature_name': 'classify', 'examples': [example]}
        status, message = error_of(served, BASE + ':classify', body)
        assert status == 400 and found in message, message
        assert '"examples": [{"image/encoded": {"b64":' in message
    body = {'signature_name': 'classify', 'instances': [ONE]}
    status, message = error_of(served, BASE + ':classify', body)
    assert 'the body has the keys ["instances", "signature_name"]; send' in message


def test_model_input_error_names_what_came(served):
    body = b'--x\r\nContent-Disposition: form-data\r\n'
    _, message = error_of(served, '/model_input', body)
    assert 'the body is a multipart form' in message and '--data-binary' in message


def test_cross_origin_requests(served):
    origin = {'Origin': 'https://example.org'}
    asks = {**origin, 'Access-Control-Request-Method': 'POST'}
    status, headers, _ = send(served, 'OPTIONS', BASE + ':predict', None, asks)
    assert status == 204 and 'POST' in headers['Access-Control-Allow-Methods']
    assert headers['Access-Control-Allow-Origin'] == origin['Origin']
    for body, code in (({'instances': [ONE]}, 200), ({}, 400)):  # Errors too.
        found, headers, _ = send(served, 'POST', BASE + ':predict', body, origin)
        assert found == code
        assert headers['Access-Control-Allow-Origin'] == origin['Origin']
    other = {'Origin': 'https://other.org'}
    _, headers, _ = send(served, 'GET', BASE, None, other)
    assert 'Access-Control-Allow-Origin' not in headers


def test_errors_of_paths_and_methods_name_the_right_ones(served):
    for path in ('/predict', BASE + '/predict', BASE + ':Predict', BASE + ':predict/'):
        status, message = error_of(served, path, {'instances': [ONE]})
        assert status == 404 and f'did you mean POST {BASE}:predict?' in message
    for path in (BASE + '/', '/v1/models', '/v2/models/x'):
        assert f'mean GET {BASE}?' in error_of(served, path, None, 'GET')[1]
    status, headers, _ = send(served, 'GET', BASE + ':predict')
    assert status == 405 and headers['Allow'] == 'POST'
    assert send(served, 'HEAD', BASE)[0] == 200


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16'])
def test_body_in_an_encoding_of_unicode(served, encoding):
    body = json.dumps({'instances': [ONE]}).encode(encoding)
    check(post(served, BASE + ':predict', body)['predictions'][0], IMAGES[0])


def test_malformed_compression_logs_no_traceback(served, caplog):
    for encoding in ('br', 'gzip'):
        headers = {'Content-Encoding': encoding}
        assert send(served, 'POST', BASE + ':predict', b'{}', headers)[0] == 400
    assert not caplog.records


def test_responses_are_strict_json():
    values = {'x': np.array([[0.1, np.nan], [np.inf, -np.inf]], np.float32)}

    def refuse(name):
        raise AssertionError(name)

    text = json_codec.encode_outputs(values, rows=True)
    (first, second) = json.loads(text, parse_constant=refuse)['predictions']
    assert first == [0.1, 'NaN'] and second == ['Infinity', '-Infinity']
    text = json_codec.encode_classes(np.array([[b'a']], object), values['x'][:1, 1:])
    assert json.loads(text, parse_constant=refuse) == {'results': [[['a', 'NaN']]]}
    text = json_codec.encode_values(np.array([np.inf]))
    assert json.loads(text, parse_constant=refuse) == {'results': ['Infinity']}


def test_base64_without_padding_and_with_white_space(served):
    text = base64.b64encode(IMAGES[0]).decode()
    lines = '\n '.join(text[i : i + 7] for i in range(0, len(text), 7))
    assert text.endswith('=')
    for written in (text.rstrip('='), lines, text.replace('=', '.')):
        body = {'instances': [{'b64': written}]}
        check(post(served, BASE + ':predict', body)['predictions'][0], IMAGES[0])


@pytest.mark.parametrize('method', ['PUT', 'DELETE', 'OPTIONS', 'PATCH', 'GET'])
def test_unsupported_methods(served, method):
    status, message = error_of(served, BASE + ':predict', None, method)
    assert status == 405 and f'no {method} {BASE}:predict' in message


def test_unknown_paths(served):
    assert error_of(served, '/v1/other', None, 'GET')[0] == 404
    assert error_of(served, '/other', None, 'GET')[0] == 404
    assert error_of(served, '/', {'x': 1})[0] == 405
    assert error_of(served, BASE + '/nix', None, 'GET')[0] == 404


def test_body_above_the_size_limit(served):
    body = {'instances': ['x' * (1 << 20)]}
    assert error_of(served, BASE + ':predict', body)[0] == 413


def test_request_larger_than_a_batch(served):
    many = IMAGES * 5
    answer = post(served, BASE + ':predict', {'instances': [b64(p) for p in many]})
    for prediction, png in zip(answer['predictions'], many, strict=True):
        check(prediction, png)
    many[17] = b'x'
    status, message = error_of(
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
def test_image_formats(served, mode, kind):
    data = encode(image(mode, 30, 20), kind)
    answer = post(served, BASE + ':predict', {'instances': [b64(data)]})
    assert sum(answer['predictions'][0]['scores']) == pytest.approx(1)


def test_smallest_and_too_large_image(served):
    data = encode(image('L', 1, 1), 'PNG')
    assert post(served, BASE + ':predict', {'instances': [b64(data)]})
    # A small file with 2,000 x 20,000 pixels.
    bomb = encode(np.zeros([20_000, 2_000, 1], np.uint8), 'PNG')
    status, message = error_of(served, BASE + ':predict', {'instances': [b64(bomb)]})
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
    status, headers, text = send(served, 'GET', '/monitoring/prometheus/metrics')
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


def test_openapi_document_lists_the_existing_paths(served):
    status, _, text = send(served, 'GET', '/openapi.json')
    answer = json.loads(text)
    assert status == 200 and answer['openapi'].startswith('3.')
    for path in answer['paths']:
        operations = answer['paths'][path]
        path = path.format(model=model.MODEL, version='3', label='stable')
        for method in ('GET', 'POST'):
            status, _, _ = send(served, method, path, {} if method == 'POST' else None)
            expected = (200, 400) if method.lower() in operations else (405,)
            assert status in expected, path


def test_model_input(served):
    data = encode(image('RGB', 40, 60), 'PNG')
    connection = http.client.HTTPConnection('127.0.0.1', served.server.port, timeout=60)
    connection.request('POST', '/model_input', data)
    response = connection.getresponse()
    pixels = response.read()
    connection.close()
    assert response.status == 200 and response.getheader('Content-Type') == 'image/png'
    assert by_pillow(pixels, 'L').shape == (model.SIZE, model.SIZE, 1)
    # It has the same predictions as the original.
    both = {'instances': [b64(data), b64(pixels)]}
    first, second = post(served, BASE + ':predict', both)['predictions']
    assert first == second
    assert error_of(served, '/model_input', b'text')[0] == 400


def test_without_batching(tmp_path):
    model.export(tmp_path)
    with model.running(tmp_path, batching=BatchingOptions(1, 0, 1)) as served:
        body = {'instances': [b64(p) for p in IMAGES]}
        found = post(served, BASE + ':predict', body)['predictions']
        for prediction, png in zip(found, IMAGES, strict=True):
            assert prediction['classes'] == model.expected(png)[0]
