"""What is said of single images."""

import io

import numpy as np
import pytest
from PIL import Image

from input.validate.image import ImageInspector, hash_pixels, is_blank, quiet_pillow
from tests.helpers import images


@pytest.fixture(scope='module')
def look():
    return ImageInspector((32, 32), 3, threads=2)


def kinds(found):
    return [kind for kind, _ in found.findings]


def photo(mode='RGB', height=40, width=50, **options):
    return images.image(mode, height, width, **options)


def test_a_usual_image_has_no_findings(look):
    for kind in ('JPEG', 'PNG', 'BMP'):
        found = look(images.encode(photo(), kind), f'a.{kind.lower()}')
        assert not found.findings and found.data and found.pixels


def test_bytes_that_are_no_image(look):
    assert kinds(look(b'')) == ['empty_file']
    assert look(b'hello there').findings == [('not_a_image', "begins with b'hello th'")]
    (only,) = look(images.encode(photo(), 'WEBP'), 'a.jpg').findings
    assert only[0] == 'not_a_image' and 'is WEBP' in only[1]


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'GIF', 'BMP'])
def test_a_truncated_image_cannot_be_decoded(look, kind):
    data = images.encode(photo(), kind)
    found = look(data[: len(data) * 2 // 3])
    assert 'unreadable' in kinds(found) and found.pixels == 0
    assert dict(found.findings)['unreadable']


def test_damage_outside_the_middle_counts(look):
    # A checksum at the end of a wide image, far from the middle window.
    data = bytearray(images.encode(photo(height=160, width=640, seed=3), 'PNG'))
    data[-40] ^= 0xFF
    assert kinds(look(bytes(data))) == ['unreadable']


def test_a_wrong_extension_is_said_with_what_it_is(look):
    png = images.encode(photo(), 'PNG')
    assert look(png, 'x/a.JPG').findings == [('wrong_extension', 'is a PNG')]
    assert not look(png, 'x/a.png').findings
    assert not look(png, '').findings


def test_facts_of_the_header(look):
    def of(mode, kind, **options):
        return kinds(look(images.encode(photo(mode), kind, **options)))

    assert of('CMYK', 'JPEG') == ['cmyk']
    assert of('RGBA', 'PNG') == ['transparent']
    assert of('LA', 'PNG') == ['transparent']
    assert of('P', 'PNG', transparency=0) == ['transparent']
    assert of('I;16', 'PNG') == ['deep']
    frames = [photo(seed=1), photo(seed=2)]
    found = look(images.encode(photo(), 'GIF', save_all=True, append_images=frames))
    assert found.findings == [('animated', '3 frames')]


@pytest.mark.parametrize('kind', ['JPEG', 'PNG'])
def test_exif_orientation(look, kind):
    for turn, words in ((1, None), (6, '90 degrees clockwise'), (3, 'upside down')):
        exif = Image.Exif()
        exif[0x0112] = turn
        found = look(images.encode(photo(), kind, exif=exif)).findings
        if words is None:
            assert not found
        else:
            ((name, detail),) = found
            assert name == 'orientation' and words in detail


def test_sizes_are_seen_against_the_networks(look):
    def of(height, width):
        return look(images.encode(photo(height=height, width=width), 'PNG')).findings

    assert of(8, 9) == []
    assert of(7, 9) == [('tiny', '9 x 7 pixels')]
    assert of(20, 81) == [('elongated', '81 x 20 pixels')]
    assert of(20, 80) == []
    assert of(513, 520) == [('large', '520 x 513 pixels')]
    # What is made for images of 8 x 8 does not call them tiny.
    eight = ImageInspector((8, 8), 1)
    assert not eight(images.encode(images.pixels(8, 8, 1), 'PNG')).findings


def test_a_single_color(look):
    red = np.full([40, 40, 3], (250, 0, 0), np.uint8)
    found = look(images.encode(red, 'PNG')).findings
    assert found == [('blank', 'all pixels are 250, 0, 0')]
    red[-1, -1] = 0
    assert not look(images.encode(red, 'PNG')).findings
    assert is_blank(np.zeros([3, 4, 1], np.uint8))


def test_a_bomb_is_not_decoded(look):
    buffer = io.BytesIO()
    Image.new('1', (20_000, 20_000)).save(buffer, 'PNG')
    with quiet_pillow():
        found = look(buffer.getvalue())
    assert kinds(found) == ['bomb'] and found.pixels == 0


def test_the_hash_is_of_size_and_pixels(look):
    picture = photo()
    png, bmp = (look(images.encode(picture, kind)) for kind in ('PNG', 'BMP'))
    assert png.data != bmp.data and png.pixels == bmp.pixels
    wide = np.zeros([4, 6, 1], np.uint8)
    assert hash_pixels(wide) != hash_pixels(wide.reshape(6, 4, 1))
    changed = np.array(picture)
    changed[0, 0, 0] ^= 1
    assert look(images.encode(changed, 'PNG')).pixels != png.pixels
