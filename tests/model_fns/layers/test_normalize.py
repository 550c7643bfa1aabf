"""Normalization of pixels, eagerly, in a graph and in tf.data."""

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.core.errors import SettingError
from model_fns.layers.normalize import normalize

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3)).astype(np.uint8)
MEAN, STDDEV = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)
EXPECTED = (IMAGES.astype(np.float64) - MEAN) / STDDEV


def test_eager():
    result = normalize(IMAGES, MEAN, STDDEV)
    assert result.dtype == tf.float32
    np.testing.assert_allclose(result, EXPECTED, rtol=1e-5, atol=1e-6)


def test_graph_gives_the_same_bits_as_eager():
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        images = tf.compat.v1.placeholder(tf.uint8, (None, 4, 5, 3))
        result = session.run(normalize(images, MEAN, STDDEV), {images: IMAGES})
    np.testing.assert_array_equal(result, normalize(IMAGES, MEAN, STDDEV))


def test_tf_data_gives_the_same_bits_as_eager():
    data = tf.data.Dataset.from_tensor_slices(IMAGES).batch(2)
    result = next(iter(data.map(lambda x: normalize(x, MEAN, STDDEV))))
    np.testing.assert_array_equal(result, normalize(IMAGES, MEAN, STDDEV))


@pytest.mark.parametrize('dtype', [np.float16, np.float32, np.float64])
def test_floating_types_have_the_same_units(dtype):
    result = normalize(IMAGES.astype(dtype), MEAN, STDDEV)
    np.testing.assert_array_equal(result, normalize(IMAGES, MEAN, STDDEV))


def test_one_number_serves_all_channels():
    np.testing.assert_allclose(
        normalize(IMAGES, 127.5, 64.0), (IMAGES - 127.5) / 64.0, rtol=1e-6
    )
    np.testing.assert_array_equal(normalize(IMAGES), IMAGES.astype(np.float32))


def test_invalid_arguments_are_refused():
    with pytest.raises(SettingError, match='each of the 3 channels, got 2'):
        normalize(IMAGES, (1.0, 2.0), 1.0)
    with pytest.raises(SettingError, match='`stddev` must be above 0'):
        normalize(IMAGES, 0.0, (1.0, 0.0, 1.0))
    with pytest.raises(ValueError, match=r'\[B, H, W, C\]'):
        normalize(IMAGES[0])
