"""Sizes in headers equal those of the decoder; bombs are not decoded."""

import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf

from input.images.decode import decode, whole_window
from input.images.headers import fault, first_gif_frame
from tests.helpers.images import by_pillow, encode, image

_KINDS = ['JPEG', 'PNG', 'GIF', 'BMP']


def _fault(data, kind, most):
    return fault(tf.constant(data), kind.lower(), most).numpy().decode()


@pytest.mark.parametrize('kind', _KINDS)
def test_fault_reports_too_many_pixels(kind):
    data = encode(image(height=11, width=14), kind)
    assert _fault(data, kind, 11 * 14) == ''
    assert _fault(data, kind, 11 * 14 - 1).startswith('14 x 11 pixels are more than')


def test_fault_accepts_a_bmp_stored_from_the_top():
    data = bytearray(encode(image(height=11, width=14), 'BMP'))
    data[22:26] = struct.pack('<i', -11)
    assert _fault(bytes(data), 'BMP', 154) == ''
    assert _fault(bytes(data), 'BMP', 153).startswith('14 x 11 pixels')


def png_bomb(side):
    """Returns a PNG of a few hundred bytes that claims side x side pixels."""
    header = struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)
    pieces = ((b'IHDR', header), (b'IDAT', zlib.compress(bytes(999))), (b'IEND', b''))
    data = b'\x89PNG\r\n\x1a\n'
    for name, content in pieces:
        crc = struct.pack('>I', zlib.crc32(name + content))
        data += struct.pack('>I', len(content)) + name + content + crc
    return data


def bombs():
    """Returns dict kind -> bytes that claim 20,000 x 20,000 pixels or more."""
    gif = bytearray(encode(image('P'), 'GIF'))
    place = gif.index(b'\x2c\0\0\0\0') + 5
    gif[place : place + 4] = struct.pack('<HH', 20000, 20000)
    bmp = bytearray(encode(image(), 'BMP'))
    bmp[18:26] = struct.pack('<ii', 20000, -20000)
    jpeg = bytearray(encode(image(), 'JPEG'))
    place = jpeg.index(b'\xff\xc0') + 5
    jpeg[place : place + 4] = struct.pack('>HH', 20000, 20000)
    return {
        'PNG': png_bomb(20000),
        'PNG of all that 32 bits hold': png_bomb(0xFFFFFFF0),
        'GIF': bytes(gif),
        'BMP': bytes(bmp),
        'JPEG': bytes(jpeg),
    }


@pytest.mark.parametrize('kind', bombs())
def test_bomb_is_refused_before_decoding(kind):
    words = (
        'corrupt example <x>: .* pixels are more than the 64000000 that may be decoded'
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        decode(
            tf.constant(bombs()[kind]),
            (8, 8),
            3,
            key=tf.constant('x'),
            max_pixels=64_000_000,
        )


@pytest.mark.parametrize('kind', _KINDS)
def test_limit_does_not_change_smaller_images(kind):
    data = encode(image(), kind)
    pixels = decode(tf.constant(data), (11, 14), 3, whole_window, max_pixels=154)
    np.testing.assert_array_equal(pixels, by_pillow(data))


@pytest.mark.parametrize('kind', _KINDS)
@pytest.mark.parametrize('length', [0, 1, 3, 10, 13, 14, 20, 30, 60])
def test_truncated_header_is_an_error(kind, length):
    data = encode(image(), kind)[:length]
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(tf.constant(data), (8, 8), 3, max_pixels=154)


def _frames(data):
    # As a function: eagerly each block takes many times as long.
    return tf.function(first_gif_frame)(tf.constant(data))[0].numpy()


@pytest.mark.combinations
@pytest.mark.parametrize('size', [(11, 14), (200, 300)])
def test_first_gif_frame_drops_the_others(size):
    frames = [image('P', *size, seed=seed) for seed in range(4)]
    one = encode(frames[0], 'GIF')
    many = encode(frames[0], 'GIF', save_all=True, append_images=frames[1:])
    cut, height, width = first_gif_frame(tf.constant(many))
    assert (int(height), int(width)) == size
    assert len(cut.numpy()) < len(one) + 40 < len(many) / 2
    np.testing.assert_array_equal(by_pillow(cut.numpy()), by_pillow(many))
    assert _frames(one) == one


def test_gif_with_comments_before_its_image():
    data = encode(image('P'), 'GIF', comment=b'x' * 1000, loop=3)
    assert _frames(data) == data


def test_gif_of_too_many_tiny_blocks_is_cut_off():
    data = encode(image('P'), 'GIF')
    start = data.index(b'\x2c\0\0\0\0') + 11
    long = data[:start] + b'\x01\x01' * 300_000
    assert len(_frames(long)) < 150_000


@pytest.mark.parametrize('seed', range(3))
def test_junk_after_a_gif_header_neither_hangs_nor_crashes(seed):
    rng = np.random.default_rng(seed)
    whole = encode(image('P'), 'GIF')
    for length in (6, 14, 40, 400):
        junk = whole[:length] + rng.bytes(300)
        cut, height, width = first_gif_frame(tf.constant(junk))
        assert len(cut.numpy()) <= len(junk) + 1
        assert 0 <= int(height) < 65536 and 0 <= int(width) < 65536
