"""Freezing and multipliers; the steps themselves are in test_factory.py."""

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.core.errors import SettingError
from model_fns.optimizers import train_op
from model_fns.optimizers.config import OPTIMIZERS, OptimizerSpec
from tests.helpers import stepping

v1 = tf.compat.v1

NORMED = {'batch_norm': True}


def changed(before, after):
    return {name for name in after if not np.array_equal(before[name], after[name])}


@pytest.mark.parametrize('name', ['momentum', 'adamw'])
def test_frozen_variables_stay_and_the_others_train(name):
    settings = {'name': name, 'weight_decay': 0.1, 'freeze': ('conv1', 'logits/b')}
    states, _ = stepping.train(stepping.model('cnn', NORMED, settings), 2)
    network = {n for n in changed(states[0], states[2]) if n.count('/') == 2}
    assert network == {
        'cnn/norm1/gamma',
        'cnn/norm1/beta',
        'cnn/norm1/moving_mean',
        'cnn/norm1/moving_variance',
        'cnn/dense1/kernel',
        'cnn/dense1/bias',
        'cnn/logits/kernel',
    }
    # No slots, so no gradients.
    assert not [n for n in states[0] if n.startswith('cnn/conv1/kernel/')]


def test_train_only_freezes_all_others():
    some = stepping.model('cnn', NORMED, {'freeze': ('conv1', 'norm1', 'dense1')})
    rest = stepping.model('cnn', NORMED, {'train_only': ('logits',)})
    states = [stepping.train(model_fn, 2)[0][-1] for model_fn in (some, rest)]
    stepping.same(*states)
    both = {'train_only': ('logits',), 'freeze': ('bias',)}
    states, _ = stepping.train(stepping.model('cnn', NORMED, both), 1)
    network = {n for n in changed(*states) if n.count('/') == 2}
    assert network == {'cnn/logits/kernel'}


def test_frozen_batch_norm_normalizes_by_its_moving_averages():
    # All but the last layer is frozen: the loss in training is that of evaluation.
    freeze = ('conv1', 'norm1', 'dense1')
    model_fn = stepping.model('cnn', NORMED, {'freeze': freeze})
    change = {
        'cnn/norm1/moving_mean': np.array([0.3, -0.2, 0.1, 0.0], np.float32),
        'cnn/norm1/moving_variance': np.array([0.5, 2.0, 1.0, 3.0], np.float32),
    }
    states, logs = stepping.train(model_fn, 1, change=change)
    assert not [n for n in changed(states[0], states[1]) if 'norm1' in n]
    with tf.Graph().as_default(), v1.Session() as session:
        v1.train.create_global_step()
        images = {'image': tf.constant(stepping.IMAGES)}
        spec = model_fn(images, tf.constant(stepping.LABELS), 'eval')
        for variable in v1.global_variables():
            variable.load(states[0][variable.op.name], session)
        assert logs[0]['loss'] == pytest.approx(session.run(spec.loss), rel=1e-5)


def test_freezing_gamma_does_not_freeze_the_statistics():
    states, _ = stepping.train(stepping.model('cnn', NORMED, {'freeze': ('gamma',)}), 1)
    assert 'cnn/norm1/moving_mean' in changed(states[0], states[1])
    assert 'cnn/norm1/gamma' not in changed(states[0], states[1])


START = np.array([[1.0, -2.0], [0.5, 3.0]], np.float32)
GRADIENT = np.array([[0.3, -0.1], [2.0, 0.7]], np.float32)


def linear(settings, names, steps=3):
    """Trains variables of a linear loss, with the same start and gradient."""
    with tf.Graph().as_default(), v1.Session() as session:
        variables = [v1.get_variable(n, initializer=START) for n in names]
        loss = tf.add_n([tf.reduce_sum(v * GRADIENT) for v in variables])
        op, _ = train_op.train_op(loss, OptimizerSpec(**settings))
        session.run(v1.global_variables_initializer())
        for _ in range(steps):
            session.run(op)
        assert session.run(v1.train.get_global_step()) == steps
        return session.run(dict(zip(names, variables, strict=True)))


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_a_multiplier_equals_another_learning_rate(name):
    base = {'name': name, 'learning_rate': 0.1, 'weight_decay': 0.2}
    pairs = (('slow', 0.25), ('fast|slow', 3.0))
    found = linear({**base, 'lr_multipliers': pairs}, ['slow', 'plain', 'fast'])
    for variable, number in (('slow', 0.25), ('plain', 1.0), ('fast', 3.0)):
        alone = linear({**base, 'learning_rate': 0.1 * number}, [variable])
        np.testing.assert_allclose(found[variable], alone[variable], rtol=1e-6)
    assert not np.allclose(found['slow'], found['plain'])


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_a_multiplier_equals_another_decay(name):
    base = {'name': name, 'learning_rate': 0.1, 'weight_decay': 0.2}
    # The first match counts, and variables of any rank decay.
    pairs = (('most', 2.0), ('little|most', 0.25))
    found = linear({**base, 'decay_multipliers': pairs}, ['most', 'little', 'usual'])
    for variable, number in (('most', 2.0), ('little', 0.25)):
        decay = {'weight_decay': 0.2 * number, 'decay_min_rank': 0}
        alone = linear({**base, **decay}, [variable])
        np.testing.assert_allclose(found[variable], alone[variable], rtol=1e-6)
    usual = linear(base, ['usual'])['usual']
    np.testing.assert_allclose(found['usual'], usual, rtol=1e-6)
    assert not np.array_equal(found['most'], found['little'])


def test_multipliers_of_rate_and_decay_combine():
    # As in airbench: a higher rate for the shift of each normalization, and the decay
    # per step of the others.
    settings = {
        'name': 'sgd',
        'learning_rate': 0.1,
        'weight_decay': 0.2,
        'lr_multipliers': (('beta', 64.0),),
        'decay_multipliers': (('beta', 1 / 64.0),),
    }
    found = linear(settings, ['beta'], steps=1)['beta']
    expected = START - 6.4 * GRADIENT - 0.1 * 0.2 * START
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_one_step_of_adam_is_the_rate_times_the_multiplier():
    # The size of a step of Adam does not depend on that of the gradient.
    settings = {'name': 'adam', 'learning_rate': 0.1, 'lr_multipliers': (('a', 0.1),)}
    found = linear(settings, ['a', 'b'], steps=1)
    np.testing.assert_allclose(found['a'], START - 0.01 * np.sign(GRADIENT), rtol=1e-5)
    np.testing.assert_allclose(found['b'], START - 0.1 * np.sign(GRADIENT), rtol=1e-5)


@pytest.mark.parametrize(
    'settings, message',
    [
        ({'freeze': ('conv9',)}, r"`freeze`: no variable has 'conv9'.*mlp/dense1/bias"),
        ({'train_only': ('conv9',)}, "`train_only`: no variable has 'conv9'"),
        (
            {'train_only': ('logits',), 'freeze': ('mlp',)},
            '`freeze=mlp` and `train_only=logits` must leave something to train',
        ),
        ({'freeze': ('mlp',)}, '`freeze=mlp` must leave something to train'),
        (
            {'freeze': ('dense1',), 'lr_multipliers': (('dense1', 2.0),)},
            r"`lr_multipliers`: no variable has 'dense1'.*mlp/logits/bias",
        ),
        (
            {'weight_decay': 0.1, 'decay_multipliers': (('conv9', 2.0),)},
            "`decay_multipliers`: no variable has 'conv9'",
        ),
    ],
)
def test_patterns_without_effect_are_refused(settings, message):
    with pytest.raises(SettingError, match=message):
        stepping.train(stepping.model(optimizer=settings), 0)
