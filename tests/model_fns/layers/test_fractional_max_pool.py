"""Fractional max-pooling: regions, values, gradient, against TensorFlow's own op."""

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.core.errors import SettingError
from model_fns.layers import fractional_max_pool
from model_fns.layers.layer_builder import LayerBuilder

v1 = tf.compat.v1
RNG = np.random.default_rng(0)

# Pairs of sizes of the published networks, and the two extremes.
SIZES = [(35, 25), (16, 11), (3, 2), (93, 74), (57, 45), (6, 6), (12, 6)]
BOTH = pytest.mark.parametrize('overlapping', [True, False], ids=['over', 'disjoint'])
MODES = pytest.mark.parametrize('pseudo', [True, False], ids=['pseudo', 'random'])


def sequences(inputs, outputs, pseudo, count=200):
    """Samples several sequences; int [count, outputs + 1]."""
    with tf.Graph().as_default(), v1.Session() as session:
        step = v1.placeholder(tf.int64, ())
        seed = tf.stack([tf.constant(7, tf.int64), step])
        starts = fractional_max_pool.boundaries(inputs, outputs, seed, pseudo)
        assert starts.shape == (outputs + 1,)
        return np.stack([session.run(starts, {step: i}) for i in range(count)])


@MODES
@pytest.mark.parametrize('inputs, outputs', SIZES)
def test_sequences_rise_by_one_or_two_from_end_to_end(inputs, outputs, pseudo):
    starts = sequences(inputs, outputs, pseudo, count=20)
    assert (starts[:, 0] == 0).all() and (starts[:, -1] == inputs).all()
    assert set(np.unique(np.diff(starts))) <= {1, 2}


@MODES
def test_sequences_against_those_of_tensorflow(pseudo):
    ours = {tuple(row) for row in sequences(13, 9, pseudo, 1500).tolist()}
    with tf.Graph().as_default(), v1.Session() as session:
        ratio = 13 / 9.01
        # With a seed the op samples one sequence only.
        samples = [
            tf.nn.fractional_max_pool(
                tf.zeros((1, 13, 13, 1)), (1, ratio, ratio, 1), pseudo, seed=seed
            )[1]
            for seed in range(1, 61)
        ]
        theirs = {tuple(row.tolist()) for row in session.run(samples)}
    assert {len(row) for row in theirs} == {10}
    if not pseudo:
        # 126 ways to place 4 twos in 9 steps; 60 samples are some of them.
        assert theirs < ours and len(ours) == 126
        return
    # TensorFlow fixes both ends for any u: next to ours it has sequences with one end
    # off by a pixel.
    assert len(theirs & ours) >= len(theirs) / 2
    for row in theirs:
        assert min(np.abs(np.subtract(row, mine)).max() for mine in ours) <= 1
    # alpha * u has a fraction of ninths: the sequence has as many forms.
    assert len(ours) == 9


def test_pseudo_random_is_the_formula_of_the_paper():
    # a_i = ceil(alpha (i + u)), here less a_0, for each of many u.
    alpha = 13 / 9
    formula = {
        tuple((np.ceil(alpha * (np.arange(10) + u)) - np.ceil(alpha * u)).astype(int))
        for u in np.linspace(0.0005, 0.9995, 1000)
    }
    found = {tuple(row) for row in sequences(13, 9, True, 400).tolist()}
    assert found == formula


def test_random_sequences_have_their_twos_anywhere():
    twos = np.diff(sequences(13, 9, False, 900)) == 2
    np.testing.assert_allclose(twos.mean(axis=0), 4 / 9, atol=0.07)


def test_impossible_sizes_are_refused():
    seed = tf.constant([0, 0], tf.int64)
    for outputs in (0, 4, 10):
        with pytest.raises(SettingError, match='at least 5 and at most 9'):
            fractional_max_pool.boundaries(9, outputs, seed, True)


@BOTH
@pytest.mark.parametrize('inputs, outputs', [(35, 25), (16, 11), (3, 2)])
def test_values_and_gradient_are_those_of_tensorflow(inputs, outputs, overlapping):
    x = RNG.normal(size=(3, inputs, inputs, 5)).astype(np.float32)
    dy = RNG.normal(size=(3, outputs, outputs, 5)).astype(np.float32)
    ratio = (1, inputs / (outputs + 0.01), inputs / (outputs + 0.01), 1)
    with tf.Graph().as_default(), v1.Session() as session:
        images = tf.constant(x)
        theirs, *starts = tf.nn.fractional_max_pool(
            images, ratio, False, overlapping, seed=3
        )
        (gradient,) = tf.gradients(theirs, images, tf.constant(dy))
        # In one run, because each run samples again. Fed, because the static shape of
        # TensorFlow's sequences is one too short.
        expected, expected_gradient, starts = session.run([theirs, gradient, starts])
        fed = [v1.placeholder(tf.int32, (outputs + 1,)) for _ in starts]
        ours = fractional_max_pool.max_pool(images, *fed, overlapping)
        (gradient,) = tf.gradients(ours, images, tf.constant(dy))
        found = session.run([ours, gradient], dict(zip(fed, starts, strict=True)))
    np.testing.assert_array_equal(found[0], expected)
    np.testing.assert_allclose(found[1], expected_gradient, rtol=1e-6, atol=1e-6)


@BOTH
def test_values_of_a_small_example(overlapping):
    x = np.arange(25.0, dtype=np.float32).reshape(1, 5, 5, 1)
    pooled = fractional_max_pool.max_pool(
        tf.constant(x),
        tf.constant([0, 2, 3, 5]),
        tf.constant([0, 1, 3, 5]),
        overlapping,
    )
    if overlapping:  # Rows up to 2, 3, 4; columns up to 1, 3, 4.
        expected = [[11, 13, 14], [16, 18, 19], [21, 23, 24]]
    else:  # Rows up to 1, 2, 4; columns up to 0, 2, 4.
        expected = [[5, 7, 9], [10, 12, 14], [20, 22, 24]]
    np.testing.assert_array_equal(pooled[0, :, :, 0], expected)


@BOTH
@MODES
def test_gradient_against_finite_differences(pseudo, overlapping):
    # Far apart, so that no difference changes the maximum.
    values = RNG.permutation(2 * 7 * 8 * 2).reshape(2, 7, 8, 2).astype(np.float64)

    def pooled(x):
        seeds = tf.constant([[1, 2], [3, 4]], tf.int64)
        rows = fractional_max_pool.boundaries(7, 5, seeds[0], pseudo)
        columns = fractional_max_pool.boundaries(8, 5, seeds[1], pseudo)
        return fractional_max_pool.max_pool(x, rows, columns, overlapping)

    with tf.Graph().as_default(), v1.Session():
        x = tf.constant(values)
        y = pooled(x)
        analytic, numeric = v1.test.compute_gradient(
            x, values.shape, y, y.shape.as_list(), values, delta=0.01
        )
    assert analytic.sum() == y.shape.num_elements()
    np.testing.assert_allclose(analytic, numeric, atol=1e-6)


@BOTH
def test_one_of_equal_values_gets_the_gradient(overlapping):
    with tf.Graph().as_default(), v1.Session() as session:
        x = tf.ones((1, 5, 5, 1))
        starts = tf.constant([0, 2, 3, 5])
        y = fractional_max_pool.max_pool(x, starts, starts, overlapping)
        gradient = session.run(tf.gradients(y, x))[0]
    assert gradient.sum() == 9


# LayerBuilder.fractional_max_pool.


def pooled(training=True, step=0, seed=0, name='p', pseudo=False, **kwargs):
    """Pools an image of distinct numbers, which identify the pixels."""
    with tf.Graph().as_default(), v1.Session() as session:
        counter = v1.train.get_or_create_global_step()
        x = tf.reshape(tf.range(30.0 * 30.0), (1, 30, 30, 1))
        net = LayerBuilder(training, seed, **kwargs)
        y = net.fractional_max_pool(name, x, 21, 21, pseudo)
        assert y.shape == (1, 21, 21, 1) and net.is_stochastic
        session.run(counter.initializer)
        session.run(counter.assign(step))
        return session.run(y)[0, :, :, 0]


@MODES
def test_regions_in_training_depend_on_seed_name_step_and_microbatch(pseudo):
    base = pooled(step=3, pseudo=pseudo)
    np.testing.assert_array_equal(base, pooled(step=3, pseudo=pseudo))
    for other in (
        pooled(step=4, pseudo=pseudo),
        pooled(step=3, seed=1, pseudo=pseudo),
        pooled(step=3, name='q', pseudo=pseudo),
        pooled(step=3, microbatch=1, num_microbatches=2, pseudo=pseudo),
    ):
        assert not np.array_equal(base, other)
    # Rows and columns have different regions.
    rows, columns = base[:, -1] // 30, base[-1] % 30
    assert not np.array_equal(rows, columns)


def test_regions_in_evaluation_depend_on_seed_name_and_sample():
    base = pooled(False, step=3)
    np.testing.assert_array_equal(base, pooled(False, step=99))
    for other in (
        pooled(False, sample=1),
        pooled(False, seed=1),
        pooled(False, name='q'),
        pooled(True, step=0),
    ):
        assert not np.array_equal(base, other)


@BOTH
def test_bfloat16(overlapping):
    with tf.Graph().as_default(), v1.Session() as session:
        x = tf.cast(RNG.normal(size=(2, 9, 9, 3)), tf.bfloat16)
        net = LayerBuilder(
            True, compute_dtype='bfloat16', step=tf.constant(5, tf.int64)
        )
        y = net.fractional_max_pool('p', x, 6, 6, overlapping=overlapping)
        (gradient,) = tf.gradients(y, x)
        assert y.dtype == gradient.dtype == tf.bfloat16
        assert (
            session.run(tf.reduce_sum(tf.cast(gradient, tf.float32)))
            == y.shape.num_elements()
        )
