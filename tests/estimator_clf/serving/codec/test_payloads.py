"""Images in another form than the API's are recognized, whatever the API."""

import base64
import gzip
import json

import pytest

pytest.importorskip('tensorflow_serving', reason='needs the extra `serving`')
pytest.importorskip('aiohttp', reason='needs the extra `serving`')

from estimator_clf.serving.codec import image_values, payloads, request_body
from estimator_clf.serving.errors import ServingError
from tests.helpers.images import encode, image

PNG = encode(image('L', 9, 9), 'PNG')
JPEG = encode(image('RGB', 40, 40), 'JPEG')
TEXT = base64.b64encode(PNG)

DESCRIPTIONS = {
    b'': 'empty',
    PNG: 'a PNG image',
    JPEG: 'a JPEG image',
    TEXT: 'the base64 text of a PNG image',
    base64.encodebytes(JPEG): 'the base64 text of a JPEG image',
    base64.b64encode(JPEG * 9): 'the base64 text of a JPEG image',
    base64.b64encode(b'GIF89a\xff\xff\xff'): 'the base64 text of a GIF image',
    base64.urlsafe_b64encode(b'\xff\xd8\xff\xfb\xfb\xff' * 9): (
        'the URL-safe base64 text of a JPEG image'
    ),
    b'data:image/png;base64,' + TEXT: 'a data URL (its base64',
    str(TEXT).encode(): 'the text of a Python bytes object',
    str(PNG).encode(): 'the text of a Python bytes object',
    b'photos/cat.JPG': 'a path or URL',
    b'https://example.org/cat?size=1': 'a path or URL',
    gzip.compress(PNG): 'gzip data without the header Content-Encoding',
    b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n': 'a multipart form',
    b'\0\0\0\x18ftypheic\0\0\0\0mif1heic': 'a HEIC image',
    b'\0\0\0\x18ftypavif\0\0\0\0': 'an AVIF image',
    b'RIFF\x10\0\0\0WEBPVP8 ': 'a WebP image',
    b'II*\0\x08\0\0\0': 'a TIFF image',
    b'<!DOCTYPE html><html>': 'an HTML page',
    'Größe'.encode(): "text, 'Größe'",
    'ä'.encode() * 100: "text, '" + 'ä' * 20 + "'…",
    b'a' + 'ä'.encode() * 100: "text, 'a" + 'ä' * 19 + "'…",
    b'\x01\x02\x03\x04': 'of an unknown format (it begins 01 02 03 04)',
}


@pytest.mark.parametrize('data', DESCRIPTIONS, ids=list(DESCRIPTIONS.values()))
def test_describe(data):
    assert payloads.describe(data).startswith(DESCRIPTIONS[data])


def explained(values, code='INVALID_ARGUMENT', message='no'):
    return str(payloads.explain(ServingError(code, message), values, 'THIS'))


def test_explain_names_the_first_value_that_is_no_image():
    assert explained([('a', PNG), ('b', TEXT), ('c', b'')]) == (
        'no; b is the base64 text of a PNG image; send the content of a JPEG, PNG, GIF '
        'or BMP file as THIS'
    )


def test_explain_leaves_other_errors_alone():
    assert explained([('a', PNG)]) == 'no'  # Corrupt further on.
    assert explained([('a', TEXT)], 'UNAVAILABLE') == 'no'
    assert explained([('a', None)]) == 'no'  # A model with other features.
    message = explained([('a', None)], message='Feature: image/encoded is required')
    assert 'a is missing' in message


def test_explanation_of_a_long_error_is_not_truncated():
    message = explained([('a', TEXT)], message='x' * 5000)
    assert len(message) < 1000 and message.endswith('THIS')


@pytest.mark.parametrize(
    'document, where, data',
    [
        ({'instances': [TEXT.decode()]}, '`instances[0]`', TEXT),
        ({'instances': [{'image_bytes': 'x'}]}, '`instances[0]`', b'x'),
        ({'inputs': ['x']}, '`inputs[0]`', b'x'),
        ({'inputs': {'image_bytes': ['x']}}, '`inputs[0]`', b'x'),
        ({'inputs': 'x'}, '`inputs`', b'x'),
        ({'instances': [{'b64': TEXT.decode()}]}, 'the content of `instances[0]`', PNG),
        (
            {'instances': [{'b64': base64.encodebytes(PNG).decode().rstrip('=\n')}]},
            'the content of `instances[0]`',
            PNG,
        ),
    ],
)
def test_values_of_a_prediction(document, where, data):
    assert list(image_values.of_prediction(document)) == [(where, data)]


def test_values_of_examples():
    document = {
        'examples': [{'image/encoded': 'x'}, {'image/encoded': ['y']}, {'z': 1}],
    }
    assert [data for _, data in image_values.of_examples(document)] == [
        b'x',
        b'y',
        None,
    ]
    document['context'] = {'image/encoded': 'c'}
    assert [data for _, data in image_values.of_examples(document)][2] == b'c'


def refused(body):
    with pytest.raises(ServingError) as caught:
        request_body.parse(body, 'THIS')
    assert caught.value.code == 'INVALID_ARGUMENT'
    return str(caught.value)


@pytest.mark.parametrize('name', ['NaN', 'Infinity', '-Infinity'])
def test_body_with_a_number_that_json_does_not_have(name):
    message = refused(f'{{"instances": [[1, {name}]]}}'.encode())
    assert message.startswith(f'the body must be JSON, which has no {name}')


def test_body_with_a_key_twice():
    # TensorFlow Serving would use the first, Python the last.
    assert 'got "instances" twice' in refused(b'{"instances": [1], "instances": [2]}')
    assert 'got "x" twice' in refused(b'{"instances": [{"x": 1, "y": 2, "x": 1}]}')


@pytest.mark.parametrize(
    'body, words',
    [
        (b'{"instances": [1,]}', "near '"),
        (b"{'instances': [1]}", 'near "{'),
        (b'', 'the body is empty; send'),
        (JPEG, 'the body is a JPEG image; send'),
        (TEXT, 'the body is the base64 text of a PNG image; send'),
        (
            gzip.compress(b'{}', mtime=0),
            'without the header Content-Encoding: gzip; send',
        ),
        (b'--x\r\nContent-Disposition: form-data\r\n', 'is a multipart form; send'),
        (b'instances=%5B%5D', "the body is text, 'instances=%5B%5D'; send"),
        (b'[1]', 'must be a JSON object, got [1]; send'),
        (b'"{}"', 'must be a JSON object, got "{}"; send'),
    ],
)
def test_body_of_another_kind(body, words):
    message = refused(body)
    assert words in message and ('THIS' in message or 'near' in message)


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_body_in_an_encoding_of_unicode(encoding):
    body = json.dumps({'instances': ['ä']}, ensure_ascii=False).encode(encoding)
    assert request_body.parse(body, 'THIS') == {'instances': ['ä']}
