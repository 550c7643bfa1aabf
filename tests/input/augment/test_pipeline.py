"""Every augmentation compared with NumPy, eagerly and inside tf.data."""

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.core.errors import DataError
from input import augment
from input.sampling.stateless_random import ExampleRng
from tests.helpers.images import pixels

_COUNT = 24


def _images(height=9, width=12, channels=3, count=_COUNT):
    return np.stack([pixels(height, width, channels, seed) for seed in range(count)])


def _rng(count=_COUNT, epoch=0, seed=7, first=0):
    index = first + tf.range(count, dtype=tf.int64)
    return ExampleRng(seed, tf.fill([count], tf.constant(epoch, tf.int64)), index)


def _apply(text, images, **options):
    """Runs eagerly and inside tf.data; both must agree."""
    steps = augment.parse(text)
    count = len(images)
    eager = augment.apply(tf.constant(images), _rng(count, **options), steps).numpy()
    dataset = tf.data.Dataset.from_tensors(images).map(
        lambda batch: augment.apply(batch, _rng(count, **options), steps)
    )
    assert dataset.element_spec.shape == images.shape
    assert eager.dtype == np.uint8
    np.testing.assert_array_equal(next(dataset.as_numpy_iterator()), eager)
    return eager


def _assert_near(one, other, most=1):
    assert np.abs(one.astype(int) - np.asarray(other).astype(int)).max() <= most


@pytest.mark.parametrize('name,axis', [('flip', 2), ('vflip', 1)])
@pytest.mark.parametrize('channels', [1, 3])
def test_flips(name, axis, channels):
    images = _images(channels=channels)
    chosen = _rng().uniform(name).numpy() < 0.5
    assert 4 < chosen.sum() < 20
    expected = np.where(chosen[:, None, None, None], np.flip(images, axis), images)
    np.testing.assert_array_equal(_apply(name, images), expected)
    np.testing.assert_array_equal(_apply(f'{name}(1)', images), np.flip(images, axis))
    np.testing.assert_array_equal(_apply(f'{name}(0)', images), images)


def test_alternating_flip():
    images = _images()
    epochs = [_apply('alternating_flip', images, epoch=epoch) for epoch in range(4)]
    flipped = [(e != images).any((1, 2, 3)) for e in epochs]
    assert 4 < flipped[0].sum() < 20
    np.testing.assert_array_equal(flipped[1], ~flipped[0])
    np.testing.assert_array_equal(epochs[0], epochs[2])
    np.testing.assert_array_equal(epochs[1], epochs[3])
    mirrored = np.where(flipped[0][:, None, None, None], np.flip(images, 2), images)
    np.testing.assert_array_equal(epochs[0], mirrored)
    other = _apply('alternating_flip', images, seed=8)
    assert (other != epochs[0]).any()
    np.testing.assert_array_equal(
        _apply('alternating_flip(1)', images), np.flip(images, 2)
    )


def test_parse_refuses_two_flips():
    with pytest.raises(DataError, match='undo each other'):
        augment.parse('flip,crop(2),alternating_flip')


@pytest.mark.parametrize('pad', [1, 4, 8, 33])
def test_crop(pad):
    height, width = (9, 12) if pad < 9 else (40, 34)
    images = _images(height, width)
    padded = np.pad(images, [(0, 0), (pad, pad), (pad, pad), (0, 0)], 'reflect')
    rows = _rng().integer('crop row', 0, 2 * pad).numpy()
    columns = _rng().integer('crop column', 0, 2 * pad).numpy()
    expected = [
        padded[n, r : r + height, c : c + width]
        for n, (r, c) in enumerate(zip(rows, columns, strict=True))
    ]
    np.testing.assert_array_equal(_apply(f'crop({pad})', images), expected)


def test_crop_reaches_all_offsets():
    images = np.zeros([400, 9, 9, 1], np.uint8)
    images[:, 4, 4] = 255
    moved = _apply('crop(2)', images)
    places = {tuple(np.argwhere(image[..., 0] == 255)[0]) for image in moved}
    assert places == {(y, x) for y in range(2, 7) for x in range(2, 7)}


def _bilinear(image, rows, columns):
    """Interpolates `image` at fractional rows and columns."""

    def blend(array, places, axis):
        low = np.clip(np.floor(places).astype(int), 0, array.shape[axis] - 1)
        high = np.minimum(low + 1, array.shape[axis] - 1)
        shape = [-1 if a == axis else 1 for a in range(array.ndim)]
        part = (places - low).reshape(shape)
        return (
            np.take(array, low, axis) * (1 - part) + np.take(array, high, axis) * part
        )

    return blend(blend(image.astype(np.float64), rows, 0), columns, 1)


@pytest.mark.parametrize('amount', [0.1, 0.5])
@pytest.mark.parametrize('size', [(9, 12), (2, 3), (8, 8)])
def test_zoom(size, amount):
    images = _images(*size)
    factors = _rng().uniform('zoom', 1 - amount, 1 + amount).numpy()
    assert factors.min() < 1 < factors.max()
    expected = []
    for image, factor in zip(images, factors, strict=True):
        axes = []
        for side in size:
            middle = (side - 1) / 2
            places = middle + (np.arange(side) - middle) / factor
            # Explicit reflection: -1 is 1, side is side - 2.
            places = np.abs(places)
            axes.append((side - 1) - np.abs((side - 1) - places))
        expected.append(np.round(_bilinear(image, *axes)))
    _assert_near(_apply(f'zoom({amount})', images), expected)


def test_zoom_of_zero_changes_nothing():
    images = _images()
    np.testing.assert_array_equal(_apply('zoom(0)', images), images)


@pytest.mark.parametrize('size', [(9, 12), (8, 8)])
def test_rotate(size):
    """Compares pixels away from the edge with an explicit rotation."""
    images = _images(*size)
    angles = np.radians(_rng().uniform('rotate', -30, 30).numpy())
    assert angles.min() < -0.1 and angles.max() > 0.1
    turned = _apply('rotate(30)', images)
    rows, columns = np.mgrid[: size[0], : size[1]]
    down, right = rows - (size[0] - 1) / 2, columns - (size[1] - 1) / 2
    for image, angle, result in zip(images, angles, turned, strict=True):
        x = np.cos(angle) * right - np.sin(angle) * down + (size[1] - 1) / 2
        y = np.sin(angle) * right + np.cos(angle) * down + (size[0] - 1) / 2
        inside = (x >= 0) & (x <= size[1] - 1) & (y >= 0) & (y <= size[0] - 1)
        assert inside.sum() > 20
        for row, column in zip(*np.nonzero(inside), strict=True):
            expected = _bilinear(image, [y[row, column]], [x[row, column]])[0, 0]
            _assert_near(result[row, column], np.round(expected))


def test_rotate_of_zero_changes_nothing():
    images = _images()
    np.testing.assert_array_equal(_apply('rotate(0)', images), images)


@pytest.mark.parametrize('size', [(1, 1), (1, 6), (6, 1)])
def test_ops_accept_images_one_pixel_high_or_wide(size):
    images = np.full([5, *size, 3], 99, np.uint8)
    for name in ('flip', 'vflip', 'zoom', 'resized_crop'):
        assert (_apply(name, images) == 99).all(), name


def test_resized_crop():
    images = _images()
    rng = _rng()
    area = rng.uniform('crop area', 0.25, 1.0).numpy()
    bound = np.log(4 / 3)
    ratio = np.exp(rng.uniform('crop aspect', -bound, bound).numpy())
    tall = np.minimum(np.sqrt(area / ratio), 1.0)
    wide = np.minimum(np.sqrt(area * ratio), 1.0)
    tops = rng.uniform('crop top').numpy() * (1 - tall)
    lefts = rng.uniform('crop left').numpy() * (1 - wide)
    expected = [
        np.round(
            _bilinear(
                images[n],
                (tops[n] + tall[n] * np.linspace(0, 1, 9)) * 8,
                (lefts[n] + wide[n] * np.linspace(0, 1, 12)) * 11,
            )
        )
        for n in range(_COUNT)
    ]
    _assert_near(_apply('resized_crop(0.25)', images), expected)


def _grays(values):
    """Returns the gray of each pixel, [B, H, W, 1], and their mean, [B, 1, 1, 1]."""
    weights = [0.299, 0.587, 0.114] if values.shape[-1] == 3 else [1.0]
    gray = (values @ weights)[..., None]
    return gray, gray.mean((1, 2, 3), keepdims=True)


@pytest.mark.combinations
@pytest.mark.parametrize('channels', [1, 3])
def test_colors(channels):
    images = _images(channels=channels)
    values = images.astype(np.float64)
    gray, mean = _grays(values)

    def factor(name):
        factor = _rng().uniform(name, 0.5, 1.5).numpy().astype(np.float64)
        return factor[:, None, None, None]

    expected = {
        'brightness': values * factor('brightness'),
        'contrast': mean + (values - mean) * factor('contrast'),
        'saturation': gray + (values - gray) * factor('saturation'),
    }
    for name, array in expected.items():
        exact = np.round(np.clip(array, 0, 255))
        _assert_near(_apply(f'{name}(0.5)', images), exact)
        np.testing.assert_array_equal(_apply(f'{name}(0)', images), images)
    if channels == 3:
        assert (_apply('saturation(0.5)', images) != images).any()


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize(
    'order',
    [
        ('brightness', 'contrast', 'saturation'),
        ('saturation', 'contrast', 'brightness'),
        ('contrast', 'saturation', 'brightness'),
    ],
)
def test_adjacent_colors_are_rounded_once(order, channels):
    images = _images(channels=channels)
    values = images.astype(np.float64)
    for name in order:
        factor = _rng().uniform(name, 0.5, 1.5).numpy()[:, None, None, None]
        gray, mean = _grays(values)
        middle = {'brightness': 0.0, 'contrast': mean, 'saturation': gray}[name]
        values = middle + (values - middle) * factor.astype(np.float64)
    exact = np.round(np.clip(values, 0, 255))
    text = ','.join(f'{name}(0.5)' for name in order)
    _assert_near(_apply(text, images), exact)


@pytest.mark.parametrize('size', [(1, 1), (3, 5), (5, 6), (32, 32)])
def test_colors_accept_any_size(size):
    images = _images(*size)
    text = 'brightness(0),contrast(0),saturation(0)'
    np.testing.assert_array_equal(_apply(text, images), images)
    gray = np.repeat(_images(*size, channels=1), 3, axis=-1)
    np.testing.assert_array_equal(_apply('saturation(0.9)', gray), gray)


@pytest.mark.parametrize('side', [1, 4, 5])
def test_cutout(side):
    images = _images()
    rows = _rng().integer('cutout row', 0, 8).numpy()
    columns = _rng().integer('cutout column', 0, 11).numpy()
    expected = images.copy()
    for image, row, column in zip(expected, rows, columns, strict=True):
        mean = np.round(image.mean((0, 1))).astype(np.uint8)
        top, left = row - side // 2, column - side // 2
        image[max(top, 0) : top + side, max(left, 0) : left + side] = mean
    # A mean of ...,5 may be rounded either way.
    _assert_near(_apply(f'cutout({side})', images), expected)
    assert (expected != images).any((1, 2, 3)).all()


@pytest.mark.parametrize('side', [1, 4, 5, 8])
def test_cutout_inside(side):
    images = _images()
    rows = _rng().integer('cutout_inside row', 0, 9 - side).numpy()
    columns = _rng().integer('cutout_inside column', 0, 12 - side).numpy()
    expected = images.copy()
    for image, row, column in zip(expected, rows, columns, strict=True):
        mean = np.round(image.mean((0, 1))).astype(np.uint8)
        image[row : row + side, column : column + side] = mean
    found = _apply(f'cutout_inside({side})', images)
    _assert_near(found, expected)
    # The whole square, in any place.
    assert ((found != images).any(-1).sum((1, 2)) > 0.9 * side**2 - 1).all()
    assert rows.min() == 0 and rows.max() == 9 - side


def test_cutout_reaches_every_pixel():
    images = np.zeros([500, 5, 6, 1], np.uint8)
    images[:, ::2] = 200
    changed = (_apply('cutout(3)', images) != images)[..., 0]
    share = changed.mean(0)
    assert share.min() > 0.1 and share[2, 2] > share[0, 0]


def test_apply_keeps_the_order_of_steps():
    images = _images()
    one_by_one = _apply('flip', _apply('crop(3)', images))
    np.testing.assert_array_equal(_apply('crop(3),flip', images), one_by_one)
    assert (_apply('flip,crop(3)', images) != one_by_one).any()


@pytest.mark.extended
def test_augmentation_does_not_depend_on_the_batch():
    images = _images()
    text = 'flip,crop(2),zoom,brightness,contrast,saturation,vflip,resized_crop,'
    text += 'cutout(3),randaugment(9, ops=2)'
    whole = _apply(text, images)
    parts = [_apply(text, images[n : n + 6], first=n) for n in range(0, _COUNT, 6)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize('other', [{'epoch': 1}, {'seed': 8}, {'first': 1}])
def test_augmentation_depends_on_epoch_seed_and_index(other):
    images = _images()
    changed = _apply('crop(4)', images) != _apply('crop(4)', images, **other)
    assert changed.any((1, 2, 3)).mean() > 0.8


def test_parse():
    assert augment.parse('') == augment.parse(None) == ()
    assert augment.parse('flip, crop(2) ,zoom(0.3),') == (
        ('flip', 0.5),
        ('crop', 2.0),
        ('zoom', 0.3),
    )
    assert augment.parse('randaugment') == (('randaugment', (2, 9)),)
    assert augment.parse('randaugment(4.5, ops=3)') == (('randaugment', (3, 4.5)),)
    # After everything else, wherever they are named.
    assert augment.parse('cutmix,mixup(0.4),flip') == (
        ('flip', 0.5),
        ('cutmix', 1.0),
        ('mixup', 0.4),
    )


@pytest.mark.parametrize(
    'text,match',
    [
        (
            'flop',
            "there is no 'flop'; did you mean 'flip'. There are: alternating_flip, ",
        ),
        ('crop(x)', "amount of crop must be a number from 1 to 1000, got 'x'"),
        ('crop(0)', 'amount of crop'),
        ('crop(2.5)', 'crop must be whole pixels, got 2.5'),
        ('zoom(0.6)', 'amount of zoom must be a number from 0 to 0.5'),
        ('flip(nan)', 'amount of flip'),
        ('flip(-1)', 'amount of flip'),
        ('flip,crop,flip', 'flip must be named once only'),
        ('cutout(2.5)', 'cutout must be whole pixels, got 2.5'),
        ('randaugment(31)', 'amount of randaugment must be a number from 0 to 30'),
        ('randaugment(5, ops=0)', r'\(MAGNITUDE, ops=N\), with N from 1 to 14'),
        ('randaugment:x5', r"write randaugment\(x5\), got 'randaugment:x5'"),
        ('randaugment(2, layers=2)', r'ops=N.* got randaugment\(2, layers=2\)'),
        ('mixup(0)', 'amount of mixup must be a number from 0.01 to 100'),
    ],
)
def test_invalid_options_are_refused(text, match):
    with pytest.raises(DataError, match=match) as raised:
        augment.parse(text)
    assert '`augment`' in str(raised.value)


def test_check_size_refuses_large_amounts():
    augment.check_size(augment.parse('crop(7)'), (8, 9, 3))
    with pytest.raises(DataError, match=r'`augment=crop\(8\)` must be smaller .* 8x9'):
        augment.check_size(augment.parse('crop(8)'), (8, 9, 3))
    with pytest.raises(DataError, match=r'`augment=cutout\(8\)` must be smaller'):
        augment.check_size(augment.parse('cutout'), (8, 9, 3))
