"""What decoding loses is said before training and by the check."""

import numpy as np
import pytest
from PIL import Image

import input as data
from input.images.lossy import describe_losses
from input.validate import Report, check_data
from tests.helpers.images import encode, image


def _deep(most, seed=0):
    values = np.random.default_rng(seed).integers(0, most + 1, (9, 9))
    values[0, 0] = most
    return encode(Image.fromarray(values.astype(np.uint16)), 'PNG')


def test_12_bits_in_16_are_described():
    (text,) = describe_losses([_deep(4095), encode(image(), 'PNG'), _deep(4000)])
    assert text.startswith('2 of the 3 images looked at have 16 bits a sample')
    assert (
        '16 of 256 shades are left' in text and 'multiply 12-bit values by 16' in text
    )


def test_nothing_is_lost():
    images = [_deep(65535), _deep(4095), b'', b'text', encode(image(), 'JPEG')]
    images += [encode(image('L'), 'PNG'), encode(image('P'), 'GIF')]
    assert describe_losses(images) == []
    assert describe_losses([]) == []


@pytest.mark.parametrize('mode', ['LA', 'RGBA'])
def test_transparency_is_described(mode):
    (text,) = describe_losses([encode(image(mode), 'PNG')])
    assert text.startswith('1 of the 1 images looked at have transparent pixels')


def test_opaque_alpha_and_transparent_palettes():
    opaque = image('RGB').convert('RGBA')
    assert describe_losses([encode(opaque, 'PNG')]) == []
    palette = encode(image('P'), 'PNG', transparency=image('P').getpixel((0, 0)))
    (text,) = describe_losses([palette])
    assert 'transparent pixels' in text


def test_cmyk_is_described():
    (text,) = describe_losses([encode(image('CMYK'), 'JPEG')])
    assert 'are CMYK' in text and 'convert them to RGB' in text


def test_source_and_check(tmp_path):
    for name in 'ab':
        (tmp_path / name).mkdir()
        for number in range(3):
            path = tmp_path / name / f'{number}.png'
            path.write_bytes(_deep(4095, number + 10 * (name == 'b')))
    source = data.open_dataset('image_folder', str(tmp_path))
    (text,) = source.losses()
    assert '16 of 256 shades' in text
    report = Report()
    check_data({'name': 'image_folder', 'data_dir': str(tmp_path)}, report)
    assert report.counts['few_shades'] == 6
    assert report.first['few_shades'][0].detail.startswith('16 of 256 shades')
