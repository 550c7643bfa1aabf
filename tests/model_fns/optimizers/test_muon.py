"""Muon: orthogonalization, which variables it trains, and the others, by Adam."""

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.core.errors import SettingError
from model_fns.optimizers import factory, train_op
from model_fns.optimizers.config import OptimizerSpec
from model_fns.optimizers.muon import newton_schulz_orthogonalize

v1 = tf.compat.v1

RATE = 0.1


def step(weights, gradients, steps=1, **settings):
    """Returns weights after steps of a linear loss with these gradients, and slots."""
    settings = OptimizerSpec(**{'name': 'muon', 'learning_rate': RATE, **settings})
    with tf.Graph().as_default(), v1.Session() as session:
        variables = {
            name: v1.get_variable(name, initializer=tf.constant(value, tf.float32))
            for name, value in weights.items()
        }
        loss = tf.add_n([tf.reduce_sum(v * gradients[n]) for n, v in variables.items()])
        op, _ = train_op.train_op(loss, settings)
        session.run(v1.global_variables_initializer())
        for _ in range(steps):
            session.run(op)
        slots = {v.op.name for v in v1.global_variables()} - {*variables, 'global_step'}
        return session.run(variables), slots


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize('shape', [(8, 8), (5, 30), (30, 5)])
def test_singular_values_become_close_to_one(shape):
    matrix = random(*shape)
    found = np.asarray(newton_schulz_orthogonalize(tf.constant(matrix)))
    values = np.linalg.svd(found, compute_uv=False)
    if shape != (8, 8):  # A square matrix has values close to 0, too.
        assert values.min() > 0.65
    assert values.max() < 1.25
    u, _, v = np.linalg.svd(matrix, full_matrices=False)
    inner = u.T @ found @ v.T
    np.testing.assert_allclose(inner, np.diag(np.diag(inner)), atol=1e-4)


def test_the_scale_has_no_influence_and_zeros_stay():
    matrix = random(4, 6)
    once, often = (
        newton_schulz_orthogonalize(tf.constant(matrix * s)) for s in (1.0, 1e4)
    )
    np.testing.assert_allclose(once, often, atol=1e-5)
    assert not np.any(newton_schulz_orthogonalize(tf.zeros([4, 6])))


def test_filters_are_matrices_by_their_outputs():
    kernel, gradient = random(3, 3, 4, 6), random(3, 3, 4, 6, seed=1)
    found, slots = step({'conv/kernel': kernel}, {'conv/kernel': gradient})
    change = (kernel - found['conv/kernel']).reshape(36, 6)
    expected = RATE * newton_schulz_orthogonalize(tf.constant(gradient.reshape(36, 6)))
    np.testing.assert_allclose(change, expected, atol=1e-5)
    assert slots == {'conv/kernel/Muon'}, 'one slot, and none of Adam'


def test_more_outputs_than_inputs_have_larger_steps():
    gradient = random(2, 8)
    found, _ = step({'kernel': np.zeros((2, 8))}, {'kernel': gradient})
    expected = -RATE * 2 * newton_schulz_orthogonalize(tf.constant(gradient))
    np.testing.assert_allclose(found['kernel'], expected, atol=1e-5)


@pytest.mark.parametrize(
    ('name', 'shape'),
    [
        ('bias', (6,)),
        ('net/logits/kernel', (4, 6)),
        ('logits/kernel', (4, 6)),
        ('y/kernel', (4, 3)),
        ('depthwise/kernel', (3, 3, 4, 1)),
    ],
)
def test_adam_trains_the_other_variables(name, shape):
    weights, gradient = random(*shape), random(*shape, seed=1)
    found, slots = step({name: weights}, {name: gradient})
    # Adam's first step is the sign of the gradient.
    expected = weights - 0.05 * RATE * np.sign(gradient)
    np.testing.assert_allclose(found[name], expected, atol=1e-5)
    assert {f'{name}/Muon', f'{name}/Muon_1'} < slots


def test_normalized_to_the_root_of_the_outputs():
    kernel, gradient = 7 * random(9, 4), random(9, 4, seed=1)
    found, _ = step({'k': kernel}, {'k': gradient}, normalize_weights=True)
    expected = kernel * 2 / np.linalg.norm(kernel) - RATE * newton_schulz_orthogonalize(
        tf.constant(gradient)
    )
    np.testing.assert_allclose(found['k'], expected, atol=1e-5)


def test_normalization_leaves_zeros():
    found, _ = step(
        {'k': np.zeros((9, 4))}, {'k': np.zeros((9, 4))}, normalize_weights=True
    )
    assert not found['k'].any()


def test_decay_is_decoupled_and_excludes_vectors():
    kernel, bias = random(9, 4), random(4)
    weights = {'k': kernel, 'bias': bias}
    zeros = {'k': np.zeros((9, 4)), 'bias': np.zeros(4)}
    found, _ = step(weights, zeros, steps=2, weight_decay=0.5)
    np.testing.assert_allclose(found['k'], kernel * (1 - RATE * 0.5) ** 2, rtol=1e-5)
    np.testing.assert_allclose(found['bias'], bias)


def test_normalize_weights_is_for_muon_only():
    with pytest.raises(
        SettingError, match='`normalize_weights` is for `optimizer=muon`'
    ):
        OptimizerSpec('adam', normalize_weights=True)


def test_a_skipped_step_changes_nothing():
    with tf.Graph().as_default(), v1.Session() as session:
        kernel = v1.get_variable('kernel', initializer=random(9, 4))
        is_step_valid = v1.placeholder_with_default(False, [])
        settings = OptimizerSpec('muon', RATE, normalize_weights=True)
        op = factory.make(settings, RATE, is_step_valid).apply_gradients(
            [(tf.ones([9, 4]), kernel)]
        )
        session.run(v1.global_variables_initializer())
        before = session.run(v1.global_variables())
        session.run(op)
        for old, new in zip(before, session.run(v1.global_variables()), strict=True):
            np.testing.assert_array_equal(old, new)
        session.run(op, {is_step_valid: True})
        assert np.any(session.run(kernel) != before[0])
