"""Gradients of convolutions against those of TensorFlow."""

import numpy as np
import pytest
import tensorflow as tf

from model_fns.layers import conv_gradients

v1 = tf.compat.v1
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def few_filters(monkeypatch):
    monkeypatch.setattr(conv_gradients, 'LEAST_FILTERS', 1)


def both(
    shape,
    filters,
    size,
    dtype=tf.float32,
    known=True,
    kind='products',
    padding='SAME',
):
    """Returns (output, by input, by kernel) of ours and of TensorFlow."""
    m, n = size if isinstance(size, tuple) else (size, size)
    x = RNG.normal(size=shape).astype(np.float32)
    kernel = RNG.normal(size=(m, n, shape[-1], filters)).astype(np.float32)
    batch, height, width, _ = shape
    if padding == 'VALID':
        height, width = height - m + 1, width - n + 1
    weight = RNG.normal(size=(batch, height, width, filters)).astype(np.float32)
    found = []
    for function in (
        lambda x, kernel: conv_gradients.conv2d(x, kernel, kind, padding),
        lambda x, kernel: tf.nn.conv2d(x, kernel, 1, padding),
    ):
        with tf.Graph().as_default(), v1.Session() as session:
            place = v1.placeholder(tf.float32, shape if known else (None, *shape[1:]))
            a, b = tf.cast(place, dtype), tf.cast(kernel, dtype)
            y = function(a, b)
            by = tf.gradients(y, [a, b], tf.cast(weight, dtype))
            outputs = [tf.cast(t, tf.float32) for t in (y, *by)]
            assert by[0].dtype == by[1].dtype == dtype
            found.append(session.run(outputs, {place: x}))
    return found


@pytest.mark.combinations
@pytest.mark.parametrize('kind', ['products', 'small', 'tensorflow'])
@pytest.mark.parametrize('known', [True, False])
@pytest.mark.parametrize(
    'shape, filters, size, padding',
    [
        ((6, 7, 7, 4), 8, 3, 'SAME'),
        ((6, 7, 7, 4), 8, 5, 'SAME'),
        ((3, 1, 5, 2), 3, 3, 'SAME'),
        ((7, 2, 2, 3), 1, 5, 'SAME'),  # The kernel is larger than the image.
        ((5, 9, 4, 1), 2, 1, 'SAME'),
        ((40, 15, 15, 2), 3, 3, 'SAME'),  # Several blocks.
        ((2, 3, 20, 2), 3, 3, 'SAME'),
        ((6, 7, 6, 4), 8, 2, 'SAME'),  # More padding after than before.
        ((6, 7, 6, 4), 8, (4, 1), 'SAME'),
        ((6, 7, 6, 4), 8, 2, 'VALID'),
        ((6, 7, 6, 4), 8, (2, 3), 'VALID'),
        ((7, 2, 2, 3), 4, 2, 'VALID'),
        ((5, 9, 4, 1), 2, 1, 'VALID'),
        ((40, 16, 16, 2), 3, 2, 'VALID'),
    ],
)
def test_same_as_tensorflow(shape, filters, size, padding, known, kind):
    ours, theirs = both(shape, filters, size, known=known, kind=kind, padding=padding)
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())


def test_same_in_bfloat16_within_its_rounding():
    ours, theirs = both((64, 15, 15, 8), 16, 3, tf.bfloat16)
    for a, b in zip(ours, theirs, strict=True):
        # bfloat16 has 8 bits: half of the last is 2 ** -9 of the number.
        scale = np.sqrt(np.mean(b**2))
        assert np.sqrt(np.mean((a - b) ** 2)) < 2.0**-8 * scale


def ops(kind, width, padding='SAME'):
    with tf.Graph().as_default() as graph:
        x = tf.zeros((2, 4, width, 1))
        kernel = tf.zeros((3, 3, 1, 1))
        tf.gradients(conv_gradients.conv2d(x, kernel, kind, padding), [x, kernel])
        types = [op.type for op in graph.get_operations()]
    return sorted({t for t in types if t.startswith(('Conv2D', 'BatchMatMul'))})


def test_ops_of_the_gradients():
    own = ['Conv2D', 'Conv2DBackpropFilter', 'Conv2DBackpropInput']
    assert ops('tensorflow', 8) == ops('small', 9) == own
    assert ops('small', 8) == ['BatchMatMulV2', 'Conv2D', 'Conv2DBackpropInput']
    assert ops('products', 16) == ['BatchMatMulV2', 'Conv2D']
    assert ops('products', 17) == ['Conv2D', 'Conv2DBackpropFilter']
    # The width of the output decides.
    assert ops('small', 10, 'VALID') == ops('small', 8)
    assert ops('small', 11, 'VALID') == own


def test_few_filters_use_no_product(monkeypatch):
    monkeypatch.setattr(conv_gradients, 'LEAST_FILTERS', 2)
    assert 'BatchMatMulV2' not in ops('products', 8)


@pytest.mark.parametrize('batch', [7, 13, 16])
@pytest.mark.parametrize('known', [True, False])
def test_any_number_of_images(batch, known, monkeypatch):
    """The padding of the last block does not change the sum."""
    monkeypatch.setattr(conv_gradients, '_BLOCK', 5 * 16)
    ours, theirs = both((batch, 4, 4, 3), 4, 3, known=known)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_memory_does_not_depend_on_the_divisors_of_the_batch():
    """The products of all blocks are at most twice those of full blocks."""
    for batch in (512, 509, 514, None):
        with tf.Graph().as_default() as graph:
            x = v1.placeholder(tf.float32, (batch, 7, 7, 4))
            y = conv_gradients.conv2d(x, tf.zeros((3, 3, 4, 128)), 'small')
            tf.gradients(y, x.graph.get_tensor_by_name('zeros:0'))
            (product,) = (o for o in graph.get_operations() if 'MatMul' in o.type)
            pixels = product.inputs[0].shape[1]
        assert 1024 <= pixels <= 2048
