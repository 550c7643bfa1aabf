"""Inference of the image shape."""

import warnings

import pytest
from PIL import Image

from estimator_clf.core.errors import DataError
from input.images.image_shape import header, infer_image_shape, parse_size
from tests.helpers.images import encode, image, pixels, write

_SMALL = encode(pixels(8, 10), 'PNG')
_LARGE = encode(pixels(20, 10), 'JPEG')
_GRAY = encode(pixels(8, 10, 1), 'PNG')


@pytest.mark.parametrize(
    'samples,options,expected',
    [
        ([_SMALL, _SMALL], {}, (8, 10, 3)),
        ([_SMALL, _LARGE], {}, (64, 64, 3)),
        ([_GRAY, _GRAY], {}, (8, 10, 1)),
        ([_GRAY, _SMALL], {}, (8, 10, 3)),
        ([_GRAY, b'no image', b''], {}, (8, 10, 1)),
        ([b'no image'], {}, (64, 64, 3)),
        ([], {}, (64, 64, 3)),
        ([_SMALL], {'channels': 1}, (8, 10, 1)),
        ([_GRAY], {'channels': 3, 'image_size': 5}, (5, 5, 3)),
        ([_SMALL, _LARGE], {'image_size': '48x64'}, (48, 64, 3)),
        ([_GRAY], {'image_size': '7'}, (7, 7, 1)),
    ],
)
def test_infer_image_shape(samples, options, expected):
    assert infer_image_shape(samples, **options) == expected


@pytest.mark.parametrize(
    'width,height,expected',
    [
        (256, 256, (256, 256)),
        (512, 128, (128, 512)),
        (4000, 3000, (221, 295)),
        (257, 256, (255, 256)),
        (70000, 1, (1, 65536)),
    ],
)
def test_common_size_is_reduced_to_the_limit_and_this_is_noted(width, height, expected):
    sample = [encode(Image.new('1', (width, height)), 'PNG')] * 2
    notes: list[str] = []
    assert infer_image_shape(sample, notes=notes) == (*expected, 1)
    reduced = expected != (height, width)
    assert len(notes) == reduced
    if reduced:
        assert f'{height}x{width}' in notes[0] and '`image_size`' in notes[0]
    # A given size is used as it is.
    size = f'{height}x{width}'
    assert infer_image_shape(sample, size, notes=notes) == (height, width, 1)
    assert len(notes) == reduced


@pytest.mark.parametrize('mode', ['L', 'LA', '1', 'I;16'])
def test_gray_modes_have_one_channel(mode):
    assert infer_image_shape([encode(image(mode), 'PNG')])[2] == 1


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'P'])
def test_color_modes_have_three_channels(mode):
    assert infer_image_shape([encode(image(mode), 'PNG')])[2] == 3


def test_infer_image_shape_accepts_paths_and_missing_files(tmp_path):
    path = write(tmp_path / 'a.png', _SMALL)
    assert infer_image_shape([path, str(tmp_path / 'none.png')]) == (8, 10, 3)


def test_parse_size():
    assert parse_size(None) is None and parse_size('') is None
    assert parse_size(32) == parse_size('32') == (32, 32)
    assert parse_size('48X64') == (48, 64)


@pytest.mark.parametrize('text', ['0', '-3', 'big', '3x', 'x', '1x2x3', '3.5', '0x9'])
def test_invalid_sizes_are_refused(text):
    with pytest.raises(DataError, match='`image_size` must be .* HEIGHTxWIDTH, got'):
        parse_size(text)


@pytest.mark.parametrize('channels', [0, 2, 4])
def test_invalid_channels_are_refused(channels):
    with pytest.raises(DataError, match=f'`channels` must be 1 or 3, got {channels}'):
        infer_image_shape([], channels=channels)


def test_header_of_a_huge_image():
    """Sizes at which Pillow would warn, and at which it would refuse."""
    for side in (10_000, 20_000):
        huge = encode(Image.new('1', (side, side)), 'PNG')
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            assert header(huge) == (side, side, '1')
            assert infer_image_shape([huge]) == (256, 256, 1)
    assert Image.MAX_IMAGE_PIXELS is not None
