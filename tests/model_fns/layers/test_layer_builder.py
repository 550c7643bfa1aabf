"""LayerBuilder: arithmetic, initial weights, dropout masks, moving averages."""

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.core.errors import SettingError
from model_fns.layers import conv_gradients
from model_fns.layers.layer_builder import LayerBuilder

v1 = tf.compat.v1
RNG = np.random.default_rng(0)

# The first row of `kernel()` below; TensorFlow 2.15 and 2.21 agree to the bit.
INITIAL_WEIGHTS = (0.0595012866, 0.1738506258, 0.1996091306)


def run(build, *, feed=None, step=None, graph_seed=None, ops_before=0):
    """Builds in a fresh graph, initializes, returns the values and all variables."""
    with tf.Graph().as_default(), v1.Session() as session:
        if graph_seed is not None:
            v1.set_random_seed(graph_seed)
        for _ in range(ops_before):
            tf.random.uniform(())
        global_step = v1.train.get_or_create_global_step()
        outputs = build()
        session.run(v1.global_variables_initializer())
        if step is not None:
            session.run(global_step.assign(step))
        values = session.run(outputs, feed)
        variables = {v.op.name: v for v in v1.global_variables()}
        return values, session.run(variables)


def kernel(seed=0, name='d', shape=(4, 3), initializer=None, **kwargs):
    def build():
        net = LayerBuilder(True, seed)
        x = tf.zeros((1, shape[0]))
        return net.dense(name, x, shape[1], kernel_initializer=initializer)

    return run(build, **kwargs)[1][f'{name}/kernel']


# Initial weights.


def test_initial_weights_are_a_function_of_seed_and_name():
    base = kernel()
    np.testing.assert_array_equal(base, kernel(graph_seed=7, ops_before=5))
    assert not np.array_equal(base, kernel(seed=1))
    assert not np.array_equal(base, kernel(name='e'))


def test_initial_weights_are_the_same_in_every_version():
    np.testing.assert_allclose(kernel()[0], INITIAL_WEIGHTS, rtol=1e-5)


@pytest.mark.parametrize(
    'initializer, variance',
    [
        (None, 2 / 300),
        ('he_normal', 2 / 300),
        ('glorot_normal', 2 / 700),
        ('lecun_normal', 1 / 300),
    ],
)
def test_variance_of_initial_weights(initializer, variance):
    weights = kernel(shape=(300, 400), initializer=initializer)
    assert weights.var() == pytest.approx(variance, rel=0.02)
    assert abs(weights.mean()) < 0.01 * variance**0.5 * 3
    # Truncated at two deviations of the normal.
    assert np.abs(weights).max() < 2.3 * variance**0.5


def test_fan_in_of_a_convolution_counts_the_pixels():
    def build():
        return LayerBuilder(True).conv('c', tf.zeros((1, 8, 8, 32)), 64, 5)

    weights = run(build)[1]['c/kernel']
    assert weights.shape == (5, 5, 32, 64)
    assert weights.var() == pytest.approx(2 / (25 * 32), rel=0.03)


def test_zeros_and_unknown_initializers():
    assert not kernel(initializer='zeros').any()
    with pytest.raises(SettingError, match="did you mean 'he_normal'"):
        kernel(initializer='he_norma')


# Arithmetic.


def test_dense_is_a_matrix_product_plus_bias():
    x = RNG.normal(size=(5, 4)).astype(np.float32)
    y, variables = run(lambda: LayerBuilder(True).dense('d', tf.constant(x), 3))
    np.testing.assert_allclose(y, x @ variables['d/kernel'], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(variables['d/bias'], np.zeros(3))


def test_convolution_against_numpy():
    x = RNG.normal(size=(2, 6, 7, 3)).astype(np.float32)
    y, variables = run(
        lambda: LayerBuilder(True).conv(
            'c', tf.constant(x), 4, 3, strides=2, padding='VALID'
        )
    )
    weights = variables['c/kernel']
    expected = np.zeros((2, 2, 3, 4))
    for i in range(2):
        for j in range(3):
            window = x[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3, :]
            expected[:, i, j] = np.tensordot(window, weights, axes=3)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_scopes_name_the_variables():
    def build():
        net = LayerBuilder(True)
        with v1.variable_scope('net'):
            x = net.conv('c', tf.zeros((1, 4, 4, 1)), 2, 3, use_bias=False)
            x = net.batch_norm('n', x)
            return net.dense('d', net.flatten(x), 2)

    _, variables = run(build)
    assert set(variables) - {'global_step'} == {
        'net/c/kernel',
        'net/n/gamma',
        'net/n/beta',
        'net/n/moving_mean',
        'net/n/moving_variance',
        'net/d/kernel',
        'net/d/bias',
    }


def test_max_pool_and_flatten():
    x = np.arange(16.0, dtype=np.float32).reshape(1, 4, 4, 1)
    net = LayerBuilder(False)
    pooled = net.max_pool(tf.constant(x))
    np.testing.assert_array_equal(pooled[0, :, :, 0], [[5, 7], [13, 15]])
    np.testing.assert_array_equal(net.flatten(pooled), [[5, 7, 13, 15]])


def test_activations():
    net = LayerBuilder(False)
    x = tf.constant([-1.0, 2.0])
    np.testing.assert_array_equal(net.activation('relu')(x), [0, 2])
    np.testing.assert_allclose(net.activation('tanh')(x), np.tanh([-1, 2]), rtol=1e-6)
    with pytest.raises(SettingError, match="did you mean 'relu'"):
        net.activation('rellu')
    assert net.initializer_for('relu') == 'he_normal'
    assert net.initializer_for('tanh') == 'glorot_normal'


def test_unknown_and_invalid_sizes_are_refused():
    with tf.Graph().as_default():
        net = LayerBuilder(True)
        with pytest.raises(ValueError, match='must be known'):
            net.dense('d', v1.placeholder(tf.float32, (None, None)), 3)
        with pytest.raises(SettingError, match='units must be at least 1, got 0'):
            net.dense('d', tf.zeros((1, 2)), 0)


def test_bfloat16_computes_on_float32_variables():
    def build():
        net = LayerBuilder(True, compute_dtype='bfloat16')
        x = net.conv('c', tf.ones((2, 4, 4, 1)), 2, 3)
        x = net.dropout('o', net.batch_norm('n', x), 0.5)
        y = net.dense('d', net.flatten(net.max_pool(x)), 2)
        assert y.dtype == tf.bfloat16
        assert all(v.dtype.base_dtype == tf.float32 for v in v1.trainable_variables())
        return tf.cast(y, tf.float32)

    assert np.isfinite(run(build)[0]).all()


# Dropout.


def mask(step=0, seed=0, name='o', rate=0.3, training=True, **kwargs):
    def build():
        return LayerBuilder(training, seed).dropout(name, tf.ones((100, 100)), rate)

    return run(build, step=step, **kwargs)[0]


def test_dropout_is_a_function_of_seed_name_and_step():
    base = mask(step=3)
    np.testing.assert_array_equal(base, mask(step=3, graph_seed=9, ops_before=4))
    for other in (mask(step=4), mask(step=3, seed=1), mask(step=3, name='p')):
        assert not np.array_equal(base, other)


def test_masks_of_different_steps_are_independent():
    dropped = np.stack([mask(step=s, rate=0.5) == 0 for s in range(4)])
    both = (dropped[:-1] & dropped[1:]).mean()
    assert both == pytest.approx(0.25, abs=0.02)


def test_dropout_drops_its_share_and_preserves_the_mean():
    values = mask()
    assert (values == 0).mean() == pytest.approx(0.3, abs=0.02)
    np.testing.assert_allclose(values[values != 0], 1 / 0.7, rtol=1e-6)


@pytest.mark.parametrize('shape', [(1,), (3, 5, 7), (2, 0, 3)])
@pytest.mark.parametrize('per_example', [False, True])
def test_dropout_of_any_number_of_values(shape, per_example):
    def build():
        dropped = LayerBuilder(True).dropout('o', tf.ones(shape), 0.5, per_example)
        assert dropped.shape == shape
        return dropped

    values = run(build)[0]
    assert values.shape == shape and set(values.flat) <= {0.0, 2.0}
    if per_example and values.size:
        assert len({tuple(v.flat) for v in values}) <= 2


def test_neighboring_values_are_dropped_independently():
    # Two neighbors share one random number.
    dropped = mask(rate=0.5) == 0
    assert (dropped[:, ::2] & dropped[:, 1::2]).mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize('rate', [1e-9, 1 - 1e-9])
def test_dropout_rates_close_to_0_and_1(rate):
    assert (mask(rate=rate) == 0).mean() == pytest.approx(rate, abs=0.001)


def test_no_dropout_outside_training():
    np.testing.assert_array_equal(mask(training=False), np.ones((100, 100)))
    np.testing.assert_array_equal(mask(rate=0.0), np.ones((100, 100)))


@pytest.mark.parametrize('rate', [-0.1, 1.0])
def test_invalid_dropout_rates_are_refused(rate):
    with pytest.raises(SettingError, match='at least 0 and below 1'):
        mask(rate=rate, training=False)


# Batch normalization.


@pytest.mark.parametrize('shape', [(6, 3, 2, 4), (20, 4)])
def test_batch_norm_in_training(shape):
    x = RNG.normal(2.0, 3.0, size=shape).astype(np.float32)

    def build():
        y = LayerBuilder(True).batch_norm(
            'n', tf.constant(x), momentum=0.9, epsilon=1e-3
        )
        updates = v1.get_collection(v1.GraphKeys.UPDATE_OPS)
        assert len(updates) == 2
        with tf.control_dependencies(updates):
            return tf.identity(y)

    y, variables = run(build)
    axes = tuple(range(len(shape) - 1))
    mean, variance = x.mean(axes), x.var(axes)
    np.testing.assert_allclose(
        y, (x - mean) / np.sqrt(variance + 1e-3), rtol=1e-3, atol=1e-4
    )
    n = x[..., 0].size
    np.testing.assert_allclose(variables['n/moving_mean'], 0.1 * mean, rtol=1e-4)
    # The moving variance is that of the population: n / (n - 1).
    np.testing.assert_allclose(
        variables['n/moving_variance'], 0.9 + 0.1 * variance * n / (n - 1), rtol=1e-4
    )


def test_batch_norm_outside_training_uses_the_moving_averages():
    x = RNG.normal(size=(4, 2, 2, 3)).astype(np.float32)

    def build():
        y = LayerBuilder(False).batch_norm('n', tf.constant(x), epsilon=0.5)
        assert not v1.get_collection(v1.GraphKeys.UPDATE_OPS)
        return y

    # The averages start at 0 and 1.
    np.testing.assert_allclose(run(build)[0], x / np.sqrt(1.5), rtol=1e-4, atol=1e-6)


def test_moving_averages_are_not_trained():
    def build():
        LayerBuilder(True).batch_norm('n', tf.ones((2, 3)))
        return [v.op.name for v in v1.trainable_variables()]

    with tf.Graph().as_default():
        assert build() == ['n/gamma', 'n/beta']


def test_conv_gradients_can_be_products(monkeypatch):
    monkeypatch.setattr(conv_gradients, 'LEAST_FILTERS', 1)
    images = RNG.normal(size=(4, 6, 6, 4)).astype(np.float32)

    def build(kind, training=True, **settings):
        def inner():
            net = LayerBuilder(training, conv_gradients=kind)
            y = net.conv('c', tf.constant(images), 8, 3, **settings)
            (kernel,) = (v for v in v1.global_variables() if 'kernel' in v.name)
            graph = tf.gradients(y**2, kernel)[0]
            types = {op.type for op in v1.get_default_graph().get_operations()}
            return graph, tf.constant('BatchMatMulV2' in types)

        return run(inner)[0]

    for settings in ({}, {'groups': 2}, {'padding': 'VALID'}):
        plain, products = build('tensorflow', **settings)
        assert not products
        ours, products = build('products', **settings)
        assert products
        np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-3)
    # Not with strides, nor outside of training.
    for settings in ({'strides': 2}, {'training': False}):
        assert not build('products', **settings)[1]
