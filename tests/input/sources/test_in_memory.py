"""Sources of arrays in memory."""

import numpy as np
import pytest
import tensorflow as tf

from input import DataError
from input.sources.in_memory import ArraySource
from tests.helpers.read_dataset import evaluate, keys, train


def _arrays(count=40, shape=(4, 5, 3), classes=4):
    images = np.broadcast_to(
        np.arange(count, dtype=np.uint8)[:, None, None, None], (count, *shape)
    )
    return images, np.arange(count) % classes


def _source(validation_split=0.0, names=('a', 'b', 'c', 'd'), **arrays):
    arrays = arrays or {'train': _arrays(), 'test': _arrays(9)}
    return ArraySource('m', names, arrays, validation_split)


def test_images_labels_and_keys_match():
    for names, labels, images in train(_source(), 20, 6):
        assert names == [f'm/train/{n}' for n in images[:, 0, 0, 0]]
        assert labels == [n % 4 for n in images[:, 0, 0, 0]]


def test_validation_split_is_disjoint_and_stable():
    source = _source(0.2)
    held = keys(evaluate(source, 'validation', 8))
    remaining = keys(evaluate(source, 'train', 8))
    assert 2 <= len(held) <= 16
    assert sorted(held + remaining) == sorted(f'm/train/{n}' for n in range(40))
    assert source.num_examples == {
        'train': len(remaining),
        'test': 9,
        'validation': len(held),
    }
    # More examples move none of the old ones.
    more = _source(0.2, train=_arrays(60))
    assert set(held) == {
        key
        for key in keys(evaluate(more, 'validation', 8))
        if int(key.rpartition('/')[2]) < 40
    }
    epoch = train(source, 1, len(remaining))
    assert sorted(keys(epoch)) == sorted(remaining)


def test_augmentation_does_not_depend_on_validation_split():
    def augmented(validation_split):
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (40, 8, 8, 1), np.uint8)
        source = _source(validation_split, train=(images, np.arange(40) % 4))
        size = source.num_examples['train']
        ((names, _, images),) = train(source, 1, size, augment='crop(3),flip')
        return dict(zip(names, images, strict=True))

    all_of_them, some = augmented(0.0), augmented(0.3)
    assert len(some) < 40
    for name, image in some.items():
        np.testing.assert_array_equal(all_of_them[name], image)


def test_gray_images():
    source = _source(train=_arrays(shape=(4, 5, 1)))
    assert source.image_shape == (4, 5, 1)
    assert train(source, 1, 6)[0][2].shape == (6, 4, 5, 1)
    _, data, _ = next(source.encoded('train', [3]))
    assert (source.decode(tf.constant(data)).numpy() == 3).all()


def test_pixels_are_not_in_the_graph():
    images = np.zeros([64, 32, 32, 3], np.uint8)
    source = _source(train=(images, np.arange(64) % 4))
    with tf.Graph().as_default() as graph:
        source.input_fn('train', 4, training=True)()
        assert graph.as_graph_def().ByteSize() < images.nbytes / 2


_IMAGES = np.zeros([6, 4, 4, 3], np.uint8)
_LABELS = np.arange(6) % 4


@pytest.mark.parametrize(
    'arrays,match',
    [
        ((_IMAGES.astype(np.float32), _LABELS), r'must be uint8 .* got float32'),
        ((_IMAGES[..., 0], _LABELS), r'must be uint8 .* got uint8 \[6, 4, 4\]'),
        ((_IMAGES.repeat(2, -1), _LABELS), r'1 or 3\], .* got uint8 \[6, 4, 4, 6\]'),
        ((_IMAGES[:, :, :0], _LABELS), r'must be uint8 .* got uint8 \[6, 4, 0, 3\]'),
        ((_IMAGES, _LABELS[:5]), r'6 images but labels of shape \[5\]'),
        ((_IMAGES, np.array(3)), r'6 images but labels of shape \[\]'),
        ((_IMAGES, np.eye(6, 4, dtype=int)), r'labels of shape \[6, 4\]'),
        ((_IMAGES[:0], _LABELS[:0]), "split 'train' is empty"),
        ((_IMAGES, _LABELS + 1), 'from 0 to 3, got 4 for example 3 of the split'),
        ((_IMAGES, _LABELS - 1), 'from 0 to 3, got -1 for example 0 of the split'),
    ],
)
def test_invalid_arrays_are_refused(arrays, match):
    with pytest.raises(DataError, match=match):
        _source(train=arrays)


def test_splits_of_different_shapes_are_refused():
    with pytest.raises(DataError, match=r"\[4, 4, 3\] in 'train', \[5, 4, 3\] in 'te"):
        _source(train=_arrays(shape=(4, 4, 3)), test=_arrays(shape=(5, 4, 3)))


def test_few_examples_without_held_out_ones_have_no_validation_split():
    source = _source(0.01, train=_arrays(count=20))
    assert source.num_examples == {'train': 20}


def test_eval_crop_is_refused():
    source = _source(train=_arrays())
    for training in (True, False):
        with pytest.raises(DataError, match='`eval_crop=0.875` is for images of'):
            source.input_fn('train', 4, training=training, eval_crop=0.875)


@pytest.mark.parametrize(
    'fraction,splits,match',
    [
        (1.0, ('train',), '`validation_split` must be at least 0 and less than 1'),
        (7.0, ('train',), '`validation_split` must be .* got 7.0'),
        (-0.1, ('train',), '`validation_split` must be .* got -0.1'),
        (1e-9, ('train',), 'leaves 40 examples for training and 0 for validation'),
        (0.1, ('train', 'validation'), 'has a validation split already'),
        (0.1, ('test',), 'has no training split to hold out a part of'),
    ],
)
def test_invalid_validation_split_is_refused(fraction, splits, match):
    with pytest.raises(DataError, match=match):
        _source(fraction, **{split: _arrays() for split in splits})
