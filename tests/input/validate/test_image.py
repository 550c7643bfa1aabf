"""Inspection of single images."""

import io

import numpy as np
import pytest
from PIL import Image

from input.images import file_kind
from input.validate.image import ImageInspector, hash_pixels, is_blank, quiet_pillow
from tests.helpers import images


@pytest.fixture(scope='module')
def inspect():
    return ImageInspector((32, 32), 3, threads=2)


def kinds(found):
    return [kind for kind, _ in found.findings]


def photo(mode='RGB', height=40, width=50, **options):
    return images.image(mode, height, width, **options)


def test_ordinary_image_has_no_findings(inspect):
    for kind in ('JPEG', 'PNG', 'BMP'):
        found = inspect(images.encode(photo(), kind), f'a.{kind.lower()}')
        assert not found.findings and found.data and found.pixels


def test_bytes_that_are_not_an_image(inspect):
    assert kinds(inspect(b'')) == ['empty_file']
    assert inspect(b'hello there').findings == [
        ('not_an_image', file_kind.describe(b'hello there'))
    ]
    (only,) = inspect(images.encode(photo(), 'WEBP'), 'a.jpg').findings
    assert only[0] == 'not_an_image' and 'but WebP; convert it' in only[1]


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'GIF', 'BMP'])
def test_truncated_image_is_unreadable(inspect, kind):
    data = images.encode(photo(), kind)
    found = inspect(data[: len(data) * 2 // 3])
    assert 'unreadable' in kinds(found) and found.pixels == 0
    assert dict(found.findings)['unreadable']


def test_corruption_outside_the_center_is_found(inspect):
    # A checksum at the end of a wide image, far from the central window.
    data = bytearray(images.encode(photo(height=160, width=640, seed=3), 'PNG'))
    data[-40] ^= 0xFF
    assert kinds(inspect(bytes(data))) == ['unreadable']


def test_wrong_extension_is_reported_with_the_format(inspect):
    png = images.encode(photo(), 'PNG')
    assert inspect(png, 'x/a.JPG').findings == [('wrong_extension', 'is a PNG')]
    assert not inspect(png, 'x/a.png').findings
    assert not inspect(png, '').findings


def test_facts_of_the_header(inspect):
    def of(mode, kind, **options):
        return kinds(inspect(images.encode(photo(mode), kind, **options)))

    assert of('CMYK', 'JPEG') == ['cmyk']
    assert of('RGBA', 'PNG') == ['transparent']
    assert of('LA', 'PNG') == ['transparent']
    assert of('P', 'PNG', transparency=0) == ['transparent']
    assert of('I;16', 'PNG') == ['deep']
    frames = [photo(seed=1), photo(seed=2)]
    found = inspect(images.encode(photo(), 'GIF', save_all=True, append_images=frames))
    assert found.findings == [('animated', '3 frames')]


@pytest.mark.parametrize('kind', ['JPEG', 'PNG'])
def test_exif_orientation(inspect, kind):
    for turn, words in ((1, None), (6, '90 degrees clockwise'), (3, 'upside down')):
        exif = Image.Exif()
        exif[0x0112] = turn
        found = inspect(images.encode(photo(), kind, exif=exif)).findings
        if words is None:
            assert not found
        else:
            ((name, detail),) = found
            assert name == 'orientation' and words in detail


def test_sizes_are_compared_with_the_network_input(inspect):
    def of(height, width):
        return inspect(images.encode(photo(height=height, width=width), 'PNG')).findings

    assert of(8, 9) == []
    assert of(7, 9) == [('tiny', '9 x 7 pixels')]
    assert of(20, 81) == [('elongated', '81 x 20 pixels')]
    assert of(20, 80) == []
    assert of(513, 520) == [('large', '520 x 513 pixels')]
    # For a network with input of 8 x 8, these images are not tiny.
    eight = ImageInspector((8, 8), 1)
    assert not eight(images.encode(images.pixels(8, 8, 1), 'PNG')).findings


def test_single_color_is_blank(inspect):
    red = np.full([40, 40, 3], (250, 0, 0), np.uint8)
    found = inspect(images.encode(red, 'PNG')).findings
    assert found == [('blank', 'all pixels are 250, 0, 0')]
    red[-1, -1] = 0
    assert not inspect(images.encode(red, 'PNG')).findings
    assert is_blank(np.zeros([3, 4, 1], np.uint8))


def test_bomb_is_not_decoded(inspect):
    buffer = io.BytesIO()
    Image.new('1', (20_000, 20_000)).save(buffer, 'PNG')
    with quiet_pillow():
        found = inspect(buffer.getvalue())
    assert kinds(found) == ['bomb'] and found.pixels == 0


def test_hash_covers_size_and_pixels(inspect):
    original = photo()
    png, bmp = (inspect(images.encode(original, kind)) for kind in ('PNG', 'BMP'))
    assert png.data != bmp.data and png.pixels == bmp.pixels
    wide = np.zeros([4, 6, 1], np.uint8)
    assert hash_pixels(wide) != hash_pixels(wide.reshape(6, 4, 1))
    changed = np.array(original)
    changed[0, 0, 0] ^= 1
    assert inspect(images.encode(changed, 'PNG')).pixels != png.pixels
