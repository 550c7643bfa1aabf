"""Decoded pixels compared with Pillow, or with NumPy."""

import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from input.images.batch_decoder import BatchDecoder
from input.images.decode import (
    central_window,
    decode,
    random_window,
    resize,
    whole_window,
)
from input.sampling.stateless_random import ExampleRng
from tests.helpers.images import by_pillow, encode, image, pixels

_SIZE = (11, 14)


def _decode(data, size=_SIZE, channels=3, window=whole_window):
    decoded = decode(tf.constant(data), size, channels, window).numpy()
    assert decoded.dtype == np.uint8 and decoded.shape == (*size, channels)
    return decoded


def _differ(one, other):
    return np.abs(one.astype(int) - other.astype(int)).max()


def _with_chunk(png, name, content):
    """Returns a PNG with another chunk after its header."""
    chunk = name + content
    checksum = zlib.crc32(chunk).to_bytes(4, 'big')
    return png[:33] + len(content).to_bytes(4, 'big') + chunk + checksum + png[33:]


_GAMMA = b'gAMA', (45455).to_bytes(4, 'big')

_ENCODED = {
    'jpeg 4:4:4': encode(image(), 'JPEG', subsampling=0),
    'jpeg 4:2:0': encode(image(), 'JPEG', subsampling=2),
    'jpeg progressive': encode(image(), 'JPEG', progressive=True),
    'jpeg gray': encode(image('L'), 'JPEG'),
    'jpeg cmyk': encode(image('CMYK'), 'JPEG'),
    'png': encode(image(), 'PNG'),
    'png gray': encode(image('L'), 'PNG'),
    'png palette': encode(image('P'), 'PNG'),
    'png palette with transparency': encode(image('P'), 'PNG', transparency=3),
    'png 1 bit': encode(image('1'), 'PNG'),
    'png with sRGB': _with_chunk(encode(image(), 'PNG'), b'sRGB', b'\0'),
    'png with gamma': _with_chunk(encode(image('RGBA'), 'PNG'), *_GAMMA),
    'png palette with gamma': _with_chunk(encode(image('P'), 'PNG'), *_GAMMA),
    'png gray with gamma': _with_chunk(encode(image('L'), 'PNG'), *_GAMMA),
    'gif': encode(image('P'), 'GIF'),
    'gif with transparency': encode(image('P'), 'GIF', transparency=3),
    'bmp': encode(image(), 'BMP'),
    'bmp gray': encode(image('L'), 'BMP'),
    'bmp palette': encode(image('P'), 'BMP'),
    'bmp with a tail': encode(image(), 'BMP') + b'\0\0',
    'bmp palette with a profile as tail': encode(image('P'), 'BMP') + b'x' * 3000,
    'bmp with alpha': encode(image('RGBA'), 'BMP'),
    'gif of several frames': encode(
        image('P'), 'GIF', save_all=True, append_images=[image('P', seed=5)]
    ),
}


@pytest.mark.parametrize('kind', _ENCODED)
def test_decode_to_rgb_equals_pillow(kind):
    data = _ENCODED[kind]
    np.testing.assert_array_equal(_decode(data), by_pillow(data))


@pytest.mark.parametrize('kind', _ENCODED)
def test_decode_to_gray_equals_pillow(kind):
    data = _ENCODED[kind]
    # The luma of the JPEG; Pillow computes it from the rounded colors.
    most = 3 if kind.startswith('jpeg 4') or 'progressive' in kind else 1
    assert _differ(_decode(data, channels=1), by_pillow(data, 'L')) <= most


@pytest.mark.combinations
@pytest.mark.parametrize('size', [_SIZE, (5, 9), (20, 20)])
@pytest.mark.parametrize('channels', [1, 3])
def test_decode_in_tf_data_equals_eager(size, channels):
    data = list(_ENCODED.values())
    dataset = tf.data.Dataset.from_tensor_slices(data).map(
        lambda d: decode(d, size, channels)
    )
    assert dataset.element_spec.shape == (*size, channels)
    for one, decoded in zip(data, dataset.as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(_decode(one, size, channels, None), decoded)


@pytest.mark.parametrize('mode', ['RGBA', 'LA'])
def test_decode_drops_transparency(mode):
    data = encode(image(mode), 'PNG')
    colors = image('RGB') if mode == 'RGBA' else image('L').convert('RGB')
    np.testing.assert_array_equal(_decode(data), np.array(colors))


@pytest.mark.parametrize('place', [(3, 2), (200, 300)])
@pytest.mark.parametrize('frames', [1, 3])
def test_gif_frame_outside_of_the_corner(place, frames):
    frame_images = [image('P', seed=seed) for seed in range(frames)]
    others = {'save_all': True, 'append_images': frame_images[1:]} if frames > 1 else {}
    data = encode(frame_images[0], 'GIF', **others)
    left, top = (n.to_bytes(2, 'little') for n in place)
    sides = (14).to_bytes(2, 'little') + (11).to_bytes(2, 'little')
    header = b'\x2c' + b'\0' * 4 + sides
    assert header in data
    moved = data.replace(header, b'\x2c' + left + top + sides, 1)
    moved = moved[:6] + b'\xff\1\xff\1' + moved[10:]  # 511 x 511 pixels in all.
    np.testing.assert_array_equal(_decode(moved), by_pillow(data))


def test_16_bit_samples_become_their_upper_byte():
    wide = image('I;16')
    upper = (np.array(wide) >> 8).astype(np.uint8)[..., None]
    data = encode(wide, 'PNG')
    np.testing.assert_array_equal(_decode(data, channels=1), upper)
    np.testing.assert_array_equal(_decode(data), upper.repeat(3, axis=2))


def test_bmp_without_palette_is_gray():
    data = encode(image('L'), 'BMP')
    start = 14 + 40
    bare = (
        data[:10] + start.to_bytes(4, 'little') + data[14:start] + data[start + 1024 :]
    )
    np.testing.assert_array_equal(_decode(bare), _decode(data))


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'GIF', 'BMP'])
def test_one_pixel(kind):
    data = encode(np.full([1, 1, 3], 77, np.uint8), kind)
    for window in (None, whole_window):
        for channels in (1, 3):
            assert (_decode(data, (3, 5), channels, window) == 77).all()


@pytest.mark.parametrize('height,width', [(1, 40), (40, 1), (3, 200)])
def test_very_long_images(height, width):
    data = encode(pixels(height, width), 'PNG')
    assert _decode(data, (8, 8), window=None).shape == (8, 8, 3)


_WINDOWS = [
    (0, 0, 23, 37),
    (1, 3, 9, 20),
    (7, 16, 16, 21),
    (22, 36, 1, 1),
    (0, 5, 1, 9),
]


@pytest.mark.parametrize('place', _WINDOWS)
@pytest.mark.parametrize('subsampling', [0, 2])
def test_fused_jpeg_crop_equals_slicing(subsampling, place):
    data = encode(image(height=23, width=37), 'JPEG', subsampling=subsampling)
    top, left, height, width = place
    cut = by_pillow(data)[top : top + height, left : left + width]
    decoded = _decode(data, (height, width), window=lambda h, w: tf.constant(place))
    if subsampling == 0:
        np.testing.assert_array_equal(decoded, cut)
    else:  # The interpolated color of the outermost columns has no neighbors.
        np.testing.assert_array_equal(decoded[:, 2:-2], cut[:, 2:-2])
        assert _differ(decoded, cut) < 16


@pytest.mark.parametrize('kind', ['PNG', 'GIF', 'BMP'])
@pytest.mark.parametrize('place', _WINDOWS)
def test_crop_of_other_formats_is_exact(kind, place):
    data = encode(image(height=23, width=37), kind)
    top, left, height, width = place
    cut = by_pillow(data)[top : top + height, left : left + width]
    decoded = _decode(data, (height, width), window=lambda h, w: tf.constant(place))
    np.testing.assert_array_equal(decoded, cut)


@pytest.mark.parametrize('kind', ['jpeg 4:2:0', 'png', 'gif', 'bmp'])
def test_image_of_the_right_size_is_unchanged(kind):
    data = _ENCODED[kind]
    np.testing.assert_array_equal(_decode(data, window=None), by_pillow(data))


@pytest.mark.parametrize(
    'fraction,aspect,shape,expected',
    [
        (1.0, 1.0, (5, 9), (0, 2, 5, 5)),
        (1.0, 1.0, (9, 5), (2, 0, 5, 5)),
        (1.0, 1.0, (9, 6), (1, 0, 6, 6)),
        (1.0, 64 / 48, (48, 64), (0, 0, 48, 64)),
        (1.0, 2.0, (10, 10), (2, 0, 5, 10)),
        (0.5, 1.0, (8, 8), (2, 2, 4, 4)),
        (0.875, 1.0, (256, 256), (16, 16, 224, 224)),
        (0.01, 1.0, (8, 8), (3, 3, 1, 1)),
        (1.0, 1.0, (1, 1), (0, 0, 1, 1)),
        (1.0, 1.0, (1, 1000), (0, 499, 1, 1)),
        (1.0, 3.0, (1, 1), (0, 0, 1, 1)),
    ],
)
def test_central_window(fraction, aspect, shape, expected):
    window = central_window(fraction, aspect)
    assert tuple(window(*map(tf.constant, shape)).numpy()) == expected


@pytest.mark.parametrize('height', [*range(1, 70, 3), 333, 4000])
def test_central_window_of_the_right_aspect_is_the_whole_image(height):
    for width in (1, 7, 64, 499, 3001):
        window = central_window(1.0, width / height)
        found = window(tf.constant(height), tf.constant(width)).numpy().tolist()
        assert found == [0, 0, height, width]


def _random_windows(shape, min_area, aspect=1.0, count=400):
    def one(index):
        rng = ExampleRng(1, tf.constant(0, tf.int64), index)
        height, width = shape
        window = random_window(rng, min_area, aspect)
        return window(tf.constant(height), tf.constant(width))

    dataset = tf.data.Dataset.range(count).map(one).batch(count)
    return next(dataset.as_numpy_iterator()).T


@pytest.mark.parametrize('shape', [(1, 1), (2, 3), (30, 40), (40, 30), (5, 500)])
@pytest.mark.parametrize('min_area', [0.05, 1.0])
def test_random_windows_are_inside(shape, min_area):
    top, left, height, width = _random_windows(shape, min_area)
    assert (np.stack([top, left]) >= 0).all()
    assert (np.stack([height, width]) >= 1).all()
    assert (top + height <= shape[0]).all() and (left + width <= shape[1]).all()


def test_random_windows_have_the_requested_area_and_aspect():
    _, _, height, width = _random_windows((300, 300), 0.1, aspect=1.0)
    share = height * width / 300**2
    assert share.min() > 0.09 and share.max() <= 1.0
    assert 0.4 < share.mean() < 0.6
    inside = (height < 300) & (width < 300)
    ratio = (width / height)[inside]
    assert ratio.min() > 0.73 and ratio.max() < 1.37


def test_random_windows_reach_every_edge():
    top, left, height, width = _random_windows((8, 8), 0.3)
    for start, length in ((top, height), (left, width)):
        smaller = length < 8
        assert (start[smaller] == 0).any()
        assert (start + length == 8)[smaller].any()


def _place(*place):
    return lambda height, width: tf.constant(place)


def _jpeg(height, width, **options):
    return encode(image(height=height, width=width), 'JPEG', quality=95, **options)


@pytest.mark.parametrize('sides', [(24, 32), (25, 31), (31, 300), (32, 32), (40, 16)])
def test_jpeg_is_decoded_at_least_at_the_target_size(sides):
    """It is downscaled only if both sides are at least twice 16 pixels."""
    data = _jpeg(*sides, subsampling=0)
    expected = resize(tf.constant(by_pillow(data)), (16, 16)).numpy()
    decoded = _decode(data, (16, 16))
    assert (_differ(decoded, expected) > 1) == (min(sides) >= 32)


@pytest.mark.parametrize('subsampling', [0, 2])
@pytest.mark.parametrize(
    'mode,channels', [('RGB', 3), ('L', 1), ('CMYK', 3), ('CMYK', 1)]
)
@pytest.mark.parametrize(
    'place',
    [(0, 0, 300, 340), (3, 9, 32, 33), (37, 51, 63, 101), (36, 52, 64, 64)]
    + [(171, 175, 129, 165), (5, 6, 128, 129), (1, 1, 299, 339), (0, 0, 39, 340)],
)
def test_window_of_a_downscaled_jpeg(place, mode, channels, subsampling):
    """Compares with Pillow: decode all, then resample with anti-aliasing."""
    smooth = image(mode, height=15, width=17).resize((340, 300), Image.BICUBIC)
    options = {} if mode == 'L' else {'subsampling': subsampling}
    data = encode(smooth, 'JPEG', quality=95, **options)
    top, left, height, width = place
    whole = by_pillow(data, 'L' if channels == 1 else 'RGB')
    box = (left, top, left + width, top + height)
    exact = Image.fromarray(whole[..., 0] if channels == 1 else whole)
    exact = np.array(exact.resize((16, 16), Image.BILINEAR, box))
    found = _decode(data, (16, 16), channels, _place(*place))
    differ = np.abs(found.astype(int) - exact.reshape(found.shape))
    assert differ.mean() < 0.8 and differ.max() <= 6


def test_downscaled_jpeg_in_tf_data_and_in_a_batch():
    data = [_jpeg(200 + n, 150 + 30 * n) for n in range(5)]
    eager = [_decode(d, (30, 30), window=None) for d in data]
    dataset = tf.data.Dataset.from_tensor_slices(data)
    dataset = dataset.map(lambda d: decode(d, (30, 30), 3), tf.data.AUTOTUNE)
    np.testing.assert_array_equal(list(dataset.as_numpy_iterator()), eager)
    batch = BatchDecoder((30, 30), 3).batch(tf.constant(data))
    np.testing.assert_array_equal(batch, eager)


@pytest.mark.parametrize('size', [(6, 9), (10, 14), (22, 28), (6, 28)])
def test_resize_is_bilinear_up_to_a_half(size):
    original = pixels(11, 14)
    found = resize(tf.constant(original), size).numpy()
    places = [
        np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        for new, old in zip(size, (11, 14), strict=True)
    ]
    expected = original.astype(np.float64)
    for axis, place in enumerate(places):
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, original.shape[axis] - 1)
        part = (place - low).reshape([-1 if a == axis else 1 for a in range(3)])
        expected = expected.take(low, axis) * (1 - part) + part * expected.take(
            high, axis
        )
    assert _differ(found, np.round(expected)) <= 1


def test_a_half_is_the_mean_of_four():
    original = pixels(12, 16)
    means = original.reshape(6, 2, 8, 2, 3).mean((1, 3))
    found = resize(tf.constant(original), (6, 8)).numpy()
    assert np.abs(found - means).max() <= 0.5


def test_resize_is_anti_aliased_beyond_a_half():
    """Noise of black and white becomes gray, not black or white."""
    noise = np.random.default_rng(0).integers(0, 2, (64, 64, 1)) * 255
    small = resize(tf.constant(noise.astype(np.uint8)), (8, 8)).numpy()
    assert small.shape == (8, 8, 1)
    assert small.std() < 25  # Of the four nearest pixels, 64; of a triangle's, 10.


def test_resize_rounds():
    row = np.array([[0, 255]], np.uint8)[..., None]
    wide = resize(tf.constant(row), (1, 4)).numpy()[0, :, 0]
    assert wide.tolist() == [0, 64, 191, 255]


@pytest.mark.parametrize(
    'data', [b'', b'B', b'hello world', b'\x00' * 100, b'RIFF....WEBP', b'\xff\xd8']
)
def test_decode_of_no_image_is_an_error(data):
    with pytest.raises(
        tf.errors.InvalidArgumentError, match='corrupt example <a b.jpg>: '
    ):
        decode(tf.constant(data), (4, 4), 3, key=tf.constant('a b.jpg'))


def test_decode_of_no_image_in_tf_data_is_an_error():
    dataset = tf.data.Dataset.from_tensors(b'hello').map(
        lambda d: decode(d, (4, 4), 3, key=tf.constant('a b.jpg'))
    )
    with pytest.raises(
        tf.errors.InvalidArgumentError, match='corrupt example <a b.jpg>: '
    ):
        next(iter(dataset))


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'GIF', 'BMP'])
@pytest.mark.parametrize('share', [0.1, 0.6, 0.95])
def test_cut_short(kind, share):
    data = encode(image(height=40, width=40), kind)
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(tf.constant(data[: int(len(data) * share)]), (8, 8), 3, whole_window)


def test_unsupported_formats_are_errors():
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(tf.constant(encode(image('1'), 'BMP')), (8, 8), 3)
