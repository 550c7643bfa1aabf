"""What a file is: the same words in Python and in the graph."""

import functools
import gzip

import numpy as np
import pytest
import tensorflow as tf

from input.images import file_kind, kind_ops
from input.images.batch_decoder import BatchDecoder
from input.images.tf_messages import short_reason
from input.sources.encoded import why_unreadable
from input.validate.image import ImageInspector
from tests.helpers.images import encode, image

FILES = {
    'WebP': b'RIFF\x24\0\0\0WEBPVP8 ',
    'AVIF': b'\0\0\0\x1cftypavif\0\0\0\0',
    'HEIC': b'\0\0\0\x18ftypheic\0\0\0\0',
    'a video (MP4)': b'\0\0\0\x18ftypisom\0\0\0\0',
    'TIFF': b'II*\0\x08\0\0\0',
    'JPEG XL': b'\xff\x0a\xfa\x7f',
    'PDF': b'%PDF-1.7\n',
    'an HTML page': b'\n <!DOCTYPE HTML><title>404</title>',
    'a git-lfs pointer': b'version https://git-lfs.github.com/spec/v1\noid sha256:1\n',
    'gzip': gzip.compress(b'x'),
    'a zip archive': b'PK\3\4\x14\0',
    'SVG': b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    'a NumPy array': b'\x93NUMPY\x01\0',
    'DICOM': b'\x80' * 128 + b'DICM\x02',
    'an image in base64': b'/9j/4AAQSkZJRg==',
    'text': b'not an image',
    'zero bytes only, as an interrupted copy leaves': b'\0' * 600,
}


@functools.cache
def _described_in_graph():
    graph = tf.Graph()
    with graph.as_default():
        data = tf.compat.v1.placeholder(tf.string, [])
        text = kind_ops.description(data)
        session = tf.compat.v1.Session()
    return lambda value: session.run(text, {data: value}).decode()


@pytest.mark.parametrize('name', FILES)
def test_files_of_other_kinds_are_named_with_a_remedy(name):
    words = file_kind.describe(FILES[name])
    assert words.startswith(f'neither JPEG, PNG, GIF nor BMP, but {name}; ')
    assert file_kind.name_of(FILES[name]) == name
    assert _described_in_graph()(FILES[name]) == words


def test_remedies():
    assert '`git lfs pull`' in file_kind.describe(FILES['a git-lfs pointer'])
    assert file_kind.describe(FILES['HEIC']).endswith('HEIC; convert it to JPEG or PNG')
    assert file_kind.describe(FILES['gzip']).endswith('gzip; unpack it')


@pytest.mark.parametrize(
    'data', [b'', b'\x01\x02', b'caf\xe9', b'RIFF', bytes(range(128, 250))]
)
def test_unknown_bytes_have_the_same_words_in_the_graph(data):
    assert _described_in_graph()(data) == file_kind.describe(data)


def test_random_bytes_have_the_same_words_in_the_graph():
    random = np.random.default_rng(0)
    for length in random.integers(1, 700, 50):
        data = random.bytes(length)
        assert _described_in_graph()(data) == file_kind.describe(data)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'GIF', 'BMP'])
def test_images_are_described_as_none(kind):
    data = encode(image(), kind)
    assert file_kind.describe(data) is None
    assert file_kind.name_of(data) == kind


def _served(data):
    decode = BatchDecoder((8, 8), 3)
    reasons = []
    for batch in ([data], [encode(image(), 'PNG'), data]):
        with pytest.raises(tf.errors.InvalidArgumentError) as raised:
            decode.batch(tf.constant(batch))
        reasons.append(short_reason(raised.value).rstrip("'"))  # Of a repr.
    assert len(set(reasons)) == 1
    return reasons[0]


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'GIF', 'BMP', 'WebP', 'empty'])
def test_training_serving_and_check_agree(kind):
    """A cut image, a file of another kind, an empty one."""
    if kind in FILES:
        data = FILES[kind]
    elif kind == 'empty':
        data = b''
    else:
        whole = encode(image(height=40, width=30), kind)
        data = whole[: len(whole) // 2]
    reason = why_unreadable({'data': data}, (8, 8, 3))
    assert _served(data) == reason
    assert reason == (file_kind.describe(data) or file_kind.corrupt(kind))
    ((_, detail),) = ImageInspector((8, 8), 3)(data).findings
    assert detail == ('0 bytes' if kind == 'empty' else reason)
