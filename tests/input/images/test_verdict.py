"""Whether an image is corrupt does not depend on the window that is decoded."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from input.images.decode import decode, fault, whole_window
from input.images.headers import is_jpeg_intact_below
from tests.helpers.images import encode, image

_WINDOWS = {
    'whole': whole_window,
    'top': lambda height, width: tf.stack([0, 0, height // 4, width // 2]),
    'middle': lambda height, width: tf.stack([height // 3, 3, height // 3, width // 2]),
    'bottom': lambda height, width: tf.stack([height - 8, 0, 8, width]),
}


@functools.cache
def _session():
    graph = tf.Graph()
    with graph.as_default():
        data = tf.compat.v1.placeholder(tf.string, [])
        ops = {n: decode(data, (8, 8), 3, w).op for n, w in _WINDOWS.items()}
        return tf.compat.v1.Session(), data, ops


def _verdicts(content):
    session, data, ops = _session()
    verdicts = {}
    for name, op in ops.items():
        try:
            session.run(op, {data: content})
            verdicts[name] = True
        except tf.errors.InvalidArgumentError:
            verdicts[name] = False
    return verdicts


def _large(kind, **options):
    return encode(image(height=96, width=80), kind, **options)


_WAYS = {
    'JPEG': {},
    'progressive': {'progressive': True},
    'restarts': {'restart_marker_blocks': 4},
    'gray': {},
}


def _jpeg(way):
    mode = 'L' if way == 'gray' else 'RGB'
    return encode(image(mode, height=96, width=80), 'JPEG', **_WAYS[way])


@pytest.mark.combinations
@pytest.mark.parametrize('way', _WAYS)
@pytest.mark.parametrize('cut', [1, 2, 3, 50, 0.3, 0.6])
def test_cut_jpeg_is_corrupt_in_every_window(way, cut):
    data = _jpeg(way)
    data = data[: len(data) - (cut if cut >= 1 else int(cut * len(data)))]
    assert set(_verdicts(data).values()) == {False}


@pytest.mark.parametrize('kind', ['PNG', 'GIF', 'BMP'])
@pytest.mark.parametrize('cut', [2, 100, 0.5])
def test_other_cut_images_have_one_verdict(kind, cut):
    data = _large(kind)
    data = data[: len(data) - (cut if cut >= 1 else int(cut * len(data)))]
    assert set(_verdicts(data).values()) == {False}


@pytest.mark.parametrize('way', _WAYS)
@pytest.mark.parametrize('trailer', [b'', b'\0' * 20, b'MPF \xff\xd8\xff\xe1 x'])
def test_complete_jpeg_is_accepted_with_any_trailer(way, trailer):
    assert set(_verdicts(_jpeg(way) + trailer).values()) == {True}


@pytest.mark.parametrize('way', _WAYS)
def test_garbage_inside_a_jpeg_has_one_verdict(way):
    """A marker by chance ends the decoder, but only where it gets to it."""
    whole, random = _jpeg(way), np.random.default_rng(0)
    found = set()
    for _ in range(60):
        size = int(random.integers(1, 300))
        place = int(random.integers(2, len(whole) - size - 2))
        data = whole[:place] + random.bytes(size) + whole[place + size :]
        verdicts = set(_verdicts(data).values())
        assert len(verdicts) == 1
        found |= verdicts
    assert False in found


@pytest.mark.parametrize('way', _WAYS)
def test_complete_jpeg_is_not_decoded_twice(way):
    data = _jpeg(way)
    assert bool(is_jpeg_intact_below(tf.constant(data)))
    assert not bool(is_jpeg_intact_below(tf.constant(data[:-1])))
    assert not bool(is_jpeg_intact_below(tf.constant(data[: len(data) // 2])))


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'GIF', 'BMP'])
def test_pixel_limit_is_decided_by_the_header(kind):
    data = _large(kind)
    shape = decode(tf.constant(data), (8, 8), 3, max_pixels=96 * 80).shape
    assert shape == (8, 8, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match='80 x 96 pixels are more'):
        decode(tf.constant(data), (8, 8), 3, max_pixels=96 * 80 - 1)
    words = fault(tf.constant(data), 96 * 80 - 1).numpy().decode()
    assert 'raise `max_image_pixels`' in words
