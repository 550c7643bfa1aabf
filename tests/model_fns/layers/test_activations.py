"""quick_gelu: values and gradients in each dtype, eagerly and in a graph."""

import numpy as np
import pytest
import tensorflow as tf

from model_fns.layers import activations

X = np.linspace(-6, 6, 241, dtype=np.float32)


def expected(x):
    share = 1 / (1 + np.exp(-1.702 * x))
    return x * share, share + 1.702 * x * share * (1 - share)


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float16'])
@pytest.mark.parametrize('graph', [False, True])
def test_value_and_gradient(dtype, graph):
    def both(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = activations.quick_gelu(x)
        return y, tape.gradient(y, x, output_gradients=upstream)

    if graph:
        both = tf.function(both)
    upstream = np.linspace(2, -1, len(X), dtype=np.float32)
    y, gradient = both(tf.cast(X, dtype), tf.cast(upstream, dtype))
    assert y.dtype == gradient.dtype == tf.dtypes.as_dtype(dtype)
    value, slope = expected(X)
    tolerance = {'float32': 1e-5, 'bfloat16': 0.05, 'float16': 0.01}[dtype]
    np.testing.assert_allclose(tf.cast(y, 'float32'), value, atol=tolerance)
    np.testing.assert_allclose(
        tf.cast(gradient, 'float32'), slope * upstream, atol=tolerance
    )


def test_is_close_to_gelu():
    found = activations.quick_gelu(tf.constant(X))
    np.testing.assert_allclose(found, tf.nn.gelu(X), atol=0.0204)


def test_is_found_by_name():
    assert activations.get('quick_gelu') is activations.quick_gelu
