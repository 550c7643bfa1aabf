"""Every registered network builds, at every picture size, and can be trained."""

import numpy as np
import pytest
import tensorflow as tf

from model_fns import registry
from model_fns.errors import SettingError
from model_fns.layers import Layers

v1 = tf.compat.v1

CLASSIFIERS = [n for n in registry.names() if registry.head(n) == 'classification']
SIZES = [(8, 8, 1), (28, 28, 1), (32, 32, 3), (64, 64, 3), (128, 128, 3), (33, 17, 3)]


@pytest.mark.parametrize('shape', SIZES, ids=lambda s: 'x'.join(map(str, s)))
@pytest.mark.parametrize('name', CLASSIFIERS)
def test_builds_at_every_size_with_a_batch_of_unknown_size(name, shape):
    # Built, not run: at 128x128 some first layers would fill the memory.
    with tf.Graph().as_default():
        images = v1.placeholder(tf.float32, (None, *shape))
        logits = registry.get(name)(Layers(True), images, 7)
        assert logits.shape.as_list() == [None, 7]
        gradients = tf.gradients(logits, v1.trainable_variables())
        assert gradients and all(g is not None for g in gradients)


@pytest.mark.parametrize('name', CLASSIFIERS)
def test_runs_and_gives_finite_logits(name):
    for training in (True, False):
        with tf.Graph().as_default(), v1.Session() as session:
            images = np.random.default_rng(0).normal(size=(2, 8, 8, 3))
            logits = registry.get(name)(
                Layers(training), tf.constant(images, tf.float32), 3
            )
            session.run(v1.global_variables_initializer())
            assert np.isfinite(session.run(logits)).all()


def test_linear_starts_at_zero():
    with tf.Graph().as_default(), v1.Session() as session:
        logits = registry.get('linear')(Layers(True), tf.ones((1, 2, 2, 1)), 3)
        session.run(v1.global_variables_initializer())
        np.testing.assert_array_equal(session.run(logits), np.zeros((1, 3)))


def variables(name, shape=(8, 8, 1), **settings):
    with tf.Graph().as_default():
        registry.get(name)(Layers(True), tf.zeros((1, *shape)), 3, **settings)
        return {v.op.name: v.shape.as_list() for v in v1.global_variables()}


def test_settings_change_the_network():
    assert variables('mlp', hidden=(5,)) == {
        'dense1/kernel': [64, 5],
        'dense1/bias': [5],
        'logits/kernel': [5, 3],
        'logits/bias': [3],
    }
    assert set(variables('mlp', hidden=())) == {'logits/kernel', 'logits/bias'}
    found = variables('cnn', filters=(4,), kernel=3, hidden=(6,), batch_norm=True)
    assert found['conv1/kernel'] == [3, 3, 1, 4]
    assert found['dense1/kernel'] == [4 * 4 * 4, 6]
    assert 'norm1/moving_mean' in found
    assert 'conv1/bias' not in found, 'batch normalisation has its own'


def test_cnn_refuses_a_picture_that_its_poolings_use_up():
    with pytest.raises(SettingError) as e:
        variables('cnn', shape=(3, 8, 1))
    assert 'at least 4x4 pixels, got 3x8' in str(e.value)
    variables('cnn', shape=(4, 4, 1))


def test_wrong_values_of_settings():
    with pytest.raises(SettingError, match='dropout rate'):
        variables('mlp', dropout=1.5)
    with pytest.raises(SettingError, match="did you mean 'relu'"):
        variables('cnn', activation='relux')
    with pytest.raises(SettingError, match='filters must be at least 1'):
        variables('cnn', filters=(0,))


@pytest.mark.parametrize('shape', [(5,), (5, 3)])
def test_linear_regression(shape):
    with tf.Graph().as_default():
        y = registry.get('linear_regression')(Layers(True), tf.zeros(shape), 1)
        assert y.shape.as_list() == [5, 1]
