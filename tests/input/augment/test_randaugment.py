"""RandAugment: each op compared with Pillow, and the sampling of ops."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from input import augment
from input.augment.randaugment import NAMES, apply_ops
from input.sampling.stateless_random import ExampleRng
from tests.helpers.images import pixels


def _images(count=6, height=9, width=12, channels=3):
    batch = np.stack([pixels(height, width, channels, n) for n in range(count)])
    batch[0] = np.clip(batch[0] // 3 + 60, 60, 140)  # Low contrast.
    if count > 1:
        batch[1] = 77  # None.
    return batch


def _apply(names, images, strength=0.6, sign=1.0):
    """Eagerly and inside tf.data, one op for all or one for each; must be the same."""
    names = [names] * len(images) if isinstance(names, str) else names
    numbers = [NAMES.index(name) for name in names]

    def op(batch):
        signs = tf.fill([len(numbers)], sign)
        return apply_ops(batch, tf.constant(numbers), signs, strength)

    eager = op(tf.constant(images)).numpy()
    dataset = tf.data.Dataset.from_tensors(images).map(op)
    np.testing.assert_array_equal(next(dataset.as_numpy_iterator()), eager)
    assert eager.dtype == np.uint8 and eager.shape == images.shape
    return eager


def _by_pillow(function, images):
    results = []
    for image in images:
        gray = image.shape[-1] == 1
        result = np.asarray(function(Image.fromarray(image[..., 0] if gray else image)))
        results.append(result[..., None] if gray else result)
    return np.stack(results)


def _assert_near(one, other, most=1):
    assert np.abs(one.astype(int) - np.asarray(other).astype(int)).max() <= most


_TABLES = {
    'identity': lambda image: image,
    'auto_contrast': ImageOps.autocontrast,
    'equalize': ImageOps.equalize,
    'posterize': lambda image: ImageOps.posterize(image, 6),  # 8 - round(2.4)
    'solarize': lambda image: ImageOps.solarize(image, 102),  # 256 - round(153.6)
}


@pytest.mark.combinations
@pytest.mark.parametrize('name', _TABLES)
@pytest.mark.parametrize('channels', [1, 3])
def test_table_ops_equal_pillow(name, channels):
    images = _images(channels=channels, height=33, width=32)
    expected = _by_pillow(_TABLES[name], images)
    np.testing.assert_array_equal(_apply(name, images), expected)
    assert name == 'identity' or (expected != images).any()


_ENHANCERS = {
    'color': ImageEnhance.Color,
    'contrast': ImageEnhance.Contrast,
    'brightness': ImageEnhance.Brightness,
    'sharpness': ImageEnhance.Sharpness,
}


@pytest.mark.parametrize('name', _ENHANCERS)
@pytest.mark.parametrize('sign', [1.0, -1.0])
def test_enhancers_equal_pillow(name, sign):
    images = _images()
    factor = 1 + sign * 0.9 * 0.6
    expected = _by_pillow(lambda p: _ENHANCERS[name](p).enhance(factor), images)
    # Pillow also rounds the gray and the smoothed image.
    _assert_near(_apply(name, images, sign=sign), expected, 2)
    assert (expected != images).any()


@pytest.mark.parametrize('name', ['translate_x', 'translate_y'])
def test_translation_retains_a_part_of_the_image(name):
    moved = _apply(name, _images(), strength=3.0)
    assert (moved != 128).any((1, 2, 3)).all()


def test_enhancers_accept_gray_images():
    images = np.repeat(_images(1, channels=1), 4, 0)
    changed = (_apply(list(_ENHANCERS), images) != images).any((1, 2, 3))
    assert changed.tolist() == [name != 'color' for name in _ENHANCERS]


@pytest.mark.combinations
@pytest.mark.parametrize('sign', [1.0, -1.0])
@pytest.mark.parametrize(
    'name', ['rotate', 'shear_x', 'shear_y', 'translate_x', 'translate_y']
)
def test_geometric_ops(name, sign):
    images = _images()
    height, width = images.shape[1:3]
    angle = np.radians(sign * 0.6 * 30) if name == 'rotate' else 0.0
    shear_x, shear_y = (sign * 0.6 * 0.3 * (name == f'shear_{a}') for a in 'xy')
    right = sign * 0.6 * 0.45 * width * (name == 'translate_x')
    down = sign * 0.6 * 0.45 * height * (name == 'translate_y')
    expected = np.zeros(images.shape)
    framed = np.pad(
        images.astype(float), [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=128
    )
    for row in range(height):
        for column in range(width):
            y, x = row - (height - 1) / 2, column - (width - 1) / 2
            from_x = np.cos(angle) * x - np.sin(angle) * y + shear_x * y + right
            from_y = np.sin(angle) * x + np.cos(angle) * y + shear_y * x + down
            # Inside the frame; everything outside equals its edge.
            u = np.clip(from_x + (width - 1) / 2 + 1, 0, width + 1)
            v = np.clip(from_y + (height - 1) / 2 + 1, 0, height + 1)
            left, top = min(int(u), width), min(int(v), height)
            u, v = u - left, v - top
            expected[:, row, column] = (
                framed[:, top, left] * (1 - u) * (1 - v)
                + framed[:, top, left + 1] * u * (1 - v)
                + framed[:, top + 1, left] * (1 - u) * v
                + framed[:, top + 1, left + 1] * u * v
            )
    _assert_near(_apply(name, images, sign=sign), np.round(expected))


def test_strength_of_zero_and_beyond_the_scale():
    images = np.repeat(_images(1, 33, 32), len(NAMES), 0)
    changed = _apply(NAMES, images, 0.0) != images
    names = {n for n, c in zip(NAMES, changed.any((1, 2, 3)), strict=True) if c}
    assert names == {'auto_contrast', 'equalize'}
    _apply(NAMES, images, 3.0)


@pytest.mark.parametrize('size', [(1, 1), (2, 5), (5, 2)])
def test_ops_accept_tiny_images(size):
    _apply(NAMES, np.repeat(_images(1, *size), len(NAMES), 0))


@pytest.mark.parametrize('name', ['identity', 'rotate', 'equalize', 'sharpness'])
def test_ops_accept_a_batch_of_one(name):
    _apply(name, _images(1))


def _randaugment(images, text, first=0, seed=5, epoch=0):
    count = len(images)
    index = first + tf.range(count, dtype=tf.int64)
    rng = ExampleRng(seed, tf.fill([count], tf.constant(epoch, tf.int64)), index)
    return augment.apply(tf.constant(images), rng, augment.parse(text)).numpy()


def test_each_example_gets_its_sampled_ops():
    images = _images(count=60)
    rng = ExampleRng(5, tf.zeros([60], tf.int64), tf.range(60, dtype=tf.int64))
    expected = tf.constant(images)
    for layer in (0, 1):
        number = rng.integer(f'randaugment {layer}', 0, 13)
        sign = np.where(rng.uniform(f'randaugment {layer} sign') < 0.5, 1.0, -1.0)
        assert set(number.numpy()) == set(range(14))
        # Each op on all images; then those that sampled it are selected.
        layers = [
            apply_ops(expected, tf.fill([60], n), tf.constant(sign, tf.float32), 0.7)
            for n in range(14)
        ]
        expected = tf.gather(tf.stack(layers, 1), number, batch_dims=1)
    np.testing.assert_array_equal(_randaugment(images, 'randaugment(7)'), expected)


def test_number_of_ops():
    images = _images(count=400)[2:]
    changed = [
        (_randaugment(images, f'randaugment(9, ops={n})') != images)
        .any((1, 2, 3))
        .mean()
        for n in (1, 3)
    ]
    # With one op, 1/14 of the images do not change, and a few more by chance.
    assert 0.75 < changed[0] < 0.95 < changed[1]


def test_result_differs_between_epochs():
    images = _images(count=50)
    first, second = (_randaugment(images, 'randaugment', epoch=n) for n in (0, 1))
    assert (first != second).any((1, 2, 3)).mean() > 0.7
