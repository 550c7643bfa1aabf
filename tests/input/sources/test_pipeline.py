"""Stages of the input pipeline, each alone, and their chain over a minimal source."""

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import numpy as np
import pytest
import tensorflow as tf

from input.corrupt_images import CorruptImages
from input.sampling.index_shuffle import Share
from input.sources import pipeline
from input.sources.base import as_numpy_batches
from input.sources.pipeline import ReadOptions
from tests.helpers.images import numbered_png

_SHAPE = (8, 8, 3)


class _Reader:
    """Yields two batches of three encoded images; those in `corrupt` are no image."""

    class_names = ('a', 'b')
    image_shape = _SHAPE

    def __init__(self, corrupt=(), corrupt_images=None):
        self.corrupt_images = corrupt_images
        self._data = [b'' if n in corrupt else numbered_png(n) for n in range(6)]

    def read(self, options):
        numbers = np.arange(6, dtype=np.int64)
        examples = {
            'data': self._data,
            'key': [f'k{n}' for n in numbers],
            'label': (numbers % 2).astype(np.int32),
            'epoch': np.zeros_like(numbers),
            'index': numbers,
        }
        dataset = tf.data.Dataset.from_tensor_slices(examples)
        return dataset.batch(options.share.block, drop_remainder=options.training)


def _batches(source, **options):
    """Returns (keys, labels, first pixels) of each batch."""
    options = ReadOptions('train', Share(3), **options)
    return [
        (b''.join(f['key']).decode(), y.tolist(), f['image'][:, 0, 0, 0].tolist())
        for f, y in as_numpy_batches(lambda: pipeline.make_dataset(source, options))
    ]


@pytest.mark.combinations
@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('limit', [None, 5])
def test_make_dataset_decodes_in_order(training, limit):
    source = _Reader(corrupt_images=limit and CorruptImages(limit))
    assert _batches(source, training=training) == [
        ('k0k1k2', [0, 1, 0], [0, 1, 2]),
        ('k3k4k5', [1, 0, 1], [3, 4, 5]),
    ]


def test_corrupt_images_are_omitted_in_evaluation():
    source = _Reader([1, 3, 4, 5], CorruptImages(5))
    assert _batches(source) == [('k0k2', [0, 0], [0, 2])]
    assert sorted(source.corrupt_images._reasons) == ['k1', 'k3', 'k4', 'k5']


def test_corrupt_images_are_replaced_in_training():
    source = _Reader([0, 4, 5], CorruptImages(5))
    assert _batches(source, training=True) == [
        ('k1k1k2', [1, 1, 0], [1, 1, 2]),
        ('k3k3k3', [1, 1, 1], [3, 3, 3]),
    ]


def test_first_corrupt_image_is_an_error_without_a_limit():
    with pytest.raises(tf.errors.InvalidArgumentError, match='corrupt example <k1>'):
        _batches(_Reader([1]))


def test_sample_windows_adds_numbers_for_resized_crop_only():
    batches = _Reader().read(ReadOptions('train', Share(3)))
    plain = ReadOptions('train', Share(3))
    assert pipeline.sample_windows(batches, plain) is batches
    crop = ReadOptions('train', Share(3), augment_ops=(('resized_crop', 0.3),))
    spec = pipeline.sample_windows(batches, crop).element_spec
    assert spec['window_rng'].shape.as_list() == [None, 4]


def test_augment_and_format_of_numbers():
    batch = {'x': [[1.0]], 'key': ['k'], 'label': [2.0], 'epoch': [0], 'index': [0]}
    batches = tf.data.Dataset.from_tensors(batch)
    options = ReadOptions('train', Share(1), with_index=True)
    ((features, labels),) = pipeline.augment_and_format(batches, (), options, 0)
    assert set(features) == {'x', 'key'} and labels.numpy().tolist() == [2.0]


def test_split_packs():
    dataset = tf.data.Dataset.from_tensors(({'x': tf.range(6)}, tf.range(6)))
    assert pipeline.split_packs(dataset, 1) is dataset
    ((features, labels),) = pipeline.split_packs(dataset, 2)
    assert features['x'].numpy().tolist() == [[0, 1, 2], [3, 4, 5]]
    assert labels.shape == (2, 3)
