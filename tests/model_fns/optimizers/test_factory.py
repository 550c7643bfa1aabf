"""Optimizers against two steps in NumPy; decay, clipping, the train_op."""

import time

import numpy as np
import pytest
import tensorflow as tf

from model_fns.optimizers import train_op
from model_fns.optimizers.config import OPTIMIZERS, OptimizerSpec

v1 = tf.compat.v1

RATE, DECAY = 0.1, 0.25
KERNEL = np.array([[1.0, -2.0], [0.5, 3.0]])
BIAS = np.array([0.25, -1.5])
# The loss is linear, so these are its gradients at every step.
KERNEL_GRADIENT = np.array([[0.3, -0.1], [2.0, 0.7]])
BIAS_GRADIENT = np.array([1.0, -0.4])


def train(steps, *, extra=None, **settings):
    """Trains a linear loss; returns (loss, rate) of each step, and all variables."""
    settings = OptimizerSpec(**{'learning_rate': RATE, **settings})
    with tf.Graph().as_default(), v1.Session() as session:
        kernel = v1.get_variable('kernel', initializer=KERNEL.astype(np.float32))
        bias = v1.get_variable('bias', initializer=BIAS.astype(np.float32))
        loss = tf.reduce_sum(kernel * KERNEL_GRADIENT) + tf.reduce_sum(
            bias * BIAS_GRADIENT
        )
        if extra:
            extra()
        op, rate = train_op.train_op(loss, settings)
        session.run(v1.global_variables_initializer())
        logs = [session.run([loss, rate, op])[:2] for _ in range(steps)]
        variables = {v.op.name: v for v in v1.global_variables()}
        return np.array(logs), session.run(variables)


def sgd(w, gradients):
    for g in gradients:
        w = w - RATE * g
    return w


def momentum(w, gradients, nesterov=False):
    m = np.zeros_like(w)
    for g in gradients:
        m = 0.9 * m + g
        w = w - RATE * (g + 0.9 * m if nesterov else m)
    return w


def nesterov(w, gradients):
    return momentum(w, gradients, nesterov=True)


def adam(w, gradients, decay=0.0):
    m = v = np.zeros_like(w)
    for t, g in enumerate(gradients, 1):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        w = w - RATE * decay * w
        w = w - RATE * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return w


def muon(w, gradients):
    if w.ndim == 1:
        m = v = np.zeros_like(w)
        for t, g in enumerate(gradients, 1):
            m = 0.9 * m + 0.1 * g
            v = 0.9 * v + 0.1 * g * g
            share = 1 - 0.9**t
            w = w - 0.05 * RATE * (m / share) / (np.sqrt(v / share) + 1e-8)
        return w
    m = np.zeros_like(w)
    for g in gradients:
        m = 0.9 * m + g
        u, s, v = np.linalg.svd(g + 0.9 * m)
        s /= np.linalg.norm(s)
        for _ in range(5):
            s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
        w = w - RATE * u @ np.diag(s) @ v
    return w


def rmsprop(w, gradients):
    v = np.ones_like(w)
    for g in gradients:
        v = 0.9 * v + 0.1 * g * g
        w = w - RATE * g / np.sqrt(v + 1e-10)
    return w


def adagrad(w, gradients):
    v = np.full_like(w, 0.1)
    for g in gradients:
        v = v + g * g
        w = w - RATE * g / np.sqrt(v)
    return w


def adadelta(w, gradients):
    v = u = np.zeros_like(w)
    for g in gradients:
        v = 0.95 * v + 0.05 * g * g
        change = np.sqrt(u + 1e-6) / np.sqrt(v + 1e-6) * g
        u = 0.95 * u + 0.05 * change**2
        w = w - RATE * change
    return w


def ftrl(w, gradients):
    n, z = np.full_like(w, 0.1), np.zeros_like(w)
    for g in gradients:
        new = n + g * g
        z = z + g - (np.sqrt(new) - np.sqrt(n)) / RATE * w
        w, n = -z * RATE / np.sqrt(new), new
    return w


REFERENCES = {
    'sgd': sgd,
    'momentum': momentum,
    'nesterov': nesterov,
    'adam': adam,
    'adamw': adam,
    'muon': muon,
    'rmsprop': rmsprop,
    'adagrad': adagrad,
    'adadelta': adadelta,
    'ftrl': ftrl,
}


def test_every_optimizer_has_a_reference():
    assert set(REFERENCES) == set(OPTIMIZERS)


@pytest.mark.parametrize('name', REFERENCES)
def test_two_steps_against_numpy(name):
    _, variables = train(2, name=name)
    reference = REFERENCES[name]
    for key, start, gradient in (
        ('kernel', KERNEL, KERNEL_GRADIENT),
        ('bias', BIAS, BIAS_GRADIENT),
    ):
        expected = reference(start, [gradient] * 2)
        np.testing.assert_allclose(variables[key], expected, rtol=1e-5, atol=1e-6)


# Weight decay.


def test_decay_is_added_to_the_gradient_of_the_kernel_only():
    logs, variables = train(1, name='sgd', weight_decay=DECAY)
    np.testing.assert_allclose(
        variables['kernel'],
        KERNEL - RATE * (KERNEL_GRADIENT + DECAY * KERNEL),
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        variables['bias'], BIAS - RATE * BIAS_GRADIENT, rtol=1e-6
    )
    plain, _ = train(1, name='sgd')
    assert logs[0, 0] == plain[0, 0], 'the loss must stay the plain loss'


def test_decoupled_decay_does_not_change_the_moments():
    _, variables = train(2, name='adamw', weight_decay=DECAY)
    np.testing.assert_allclose(
        variables['kernel'], adam(KERNEL, [KERNEL_GRADIENT] * 2, DECAY), rtol=1e-5
    )
    np.testing.assert_allclose(
        variables['bias'], adam(BIAS, [BIAS_GRADIENT] * 2), rtol=1e-5
    )
    _, coupled = train(2, name='adam', weight_decay=DECAY)
    assert not np.allclose(coupled['kernel'], variables['kernel'])


@pytest.mark.parametrize('name', ['sgd', 'adamw'])
def test_decay_of_all_variables_is_possible(name):
    _, some = train(1, name=name, weight_decay=DECAY)
    _, all_ = train(1, name=name, weight_decay=DECAY, decay_min_rank=0)
    change = all_['bias'] - some['bias']
    np.testing.assert_allclose(change, -RATE * DECAY * BIAS, rtol=1e-4)
    np.testing.assert_array_equal(some['kernel'], all_['kernel'])


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_gradient_is_that_of_the_weights_before_the_step(name):
    """Also if the network reads them late: nothing may change them before."""
    with tf.Graph().as_default(), v1.Session() as session:
        kernel = v1.get_variable('kernel', initializer=KERNEL.astype(np.float32))
        late = tf.numpy_function(lambda: time.sleep(0.2), [], [], stateful=True)
        with tf.control_dependencies([late]):
            read = kernel.read_value()
        loss = tf.reduce_sum(read**2)
        settings = OptimizerSpec(name, RATE, weight_decay=DECAY)
        op, _ = train_op.train_op(loss, settings)
        session.run(v1.global_variables_initializer())
        value, _ = session.run([loss, op])
        assert value == pytest.approx((KERNEL**2).sum(), rel=1e-6)
        assert not np.allclose(session.run(kernel), KERNEL)


# Clipping.

NORM = np.sqrt((KERNEL_GRADIENT**2).sum() + (BIAS_GRADIENT**2).sum())


def test_clipping_scales_all_gradients_together():
    _, variables = train(1, name='sgd', clip_norm=NORM / 2)
    for key, start, gradient in (
        ('kernel', KERNEL, KERNEL_GRADIENT),
        ('bias', BIAS, BIAS_GRADIENT),
    ):
        np.testing.assert_allclose(
            variables[key], start - RATE * gradient / 2, rtol=1e-5
        )


def test_clipping_changes_neither_short_gradients_nor_the_decay():
    _, plain = train(1, name='sgd')
    _, clipped = train(1, name='sgd', clip_norm=NORM * 2)
    np.testing.assert_allclose(clipped['kernel'], plain['kernel'], rtol=1e-6)
    _, both = train(1, name='sgd', clip_norm=NORM / 2, weight_decay=DECAY)
    np.testing.assert_allclose(
        both['kernel'],
        KERNEL - RATE * (KERNEL_GRADIENT / 2 + DECAY * KERNEL),
        rtol=1e-5,
    )


# The train_op.


def test_step_is_incremented_and_the_rate_follows_it():
    logs, variables = train(4, name='sgd', warmup_steps=2, learning_rate=0.5)
    assert variables['global_step'] == 4
    np.testing.assert_allclose(logs[:, 1], [0.0, 0.25, 0.5, 0.5])
    # The returned rate is the one that is used.
    np.testing.assert_allclose(
        variables['bias'], BIAS - 1.25 * BIAS_GRADIENT, rtol=1e-5
    )


def test_update_ops_are_run():
    def extra():
        average = v1.get_variable('average', initializer=0.0, trainable=False)
        v1.add_to_collection(v1.GraphKeys.UPDATE_OPS, average.assign_add(1.0))

    _, variables = train(3, extra=extra)
    assert variables['average'] == 3


def test_sparse_gradients_are_clipped_and_decayed_like_others():
    with tf.Graph().as_default(), v1.Session() as session:
        table = v1.get_variable('table', initializer=KERNEL.astype(np.float32))
        loss = tf.reduce_sum(tf.gather(table, [1]))
        op, _ = train_op.train_op(
            loss, OptimizerSpec('adamw', RATE, weight_decay=DECAY)
        )
        session.run(v1.global_variables_initializer())
        session.run(op)
        first, second = session.run(table)
    np.testing.assert_allclose(first, KERNEL[0] * (1 - RATE * DECAY), rtol=1e-5)
    np.testing.assert_allclose(second, KERNEL[1] * (1 - RATE * DECAY) - RATE, rtol=1e-5)


def test_a_loss_without_variables_is_refused():
    with tf.Graph().as_default():
        v1.get_variable('w', (1,))
        with pytest.raises(ValueError, match='trainable variable'):
            train_op.train_op(tf.constant(1.0), OptimizerSpec())
