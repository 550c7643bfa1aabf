"""Loss scaling: growth, shrinking, skipped steps, resuming."""

from estimator_clf.compat import estimator

import numpy as np
import pytest
import tensorflow as tf

from model_fns.optimizers import loss_scaling
from model_fns.optimizers.loss_scaling import LossScale
from tests.helpers import stepping

v1 = tf.compat.v1

SCALE, GOOD = 'loss_scale/value', 'loss_scale/good_steps'


def scales(finite, start=8.0, period=3):
    """Returns (step is valid, scale after it) for finite and other gradients."""
    with tf.Graph().as_default(), v1.Session() as session:
        v1.train.create_global_step()
        scale = LossScale(start, period)
        gradient = v1.placeholder(tf.float32, (2,))
        is_step_valid = scale.is_step_valid(scale.unscaled([gradient, tf.ones(3)]))
        op = scale.update()
        session.run(v1.global_variables_initializer())
        found = []
        for good in finite:
            fed = {gradient: [1.0, 2.0 if good else np.inf]}
            valid, _ = session.run([is_step_valid, op], fed)
            found.append((bool(valid), float(session.run(scale.value))))
        return found


def test_doubles_after_a_period_of_finite_steps_and_halves_at_once():
    found = scales([1, 1, 0, 1, 1, 1, 1, 1, 1, 0])
    assert [scale for _, scale in found] == [8, 8, 4, 4, 4, 8, 8, 8, 16, 8]
    assert [valid for valid, _ in found] == [1, 1, 0, 1, 1, 1, 1, 1, 1, 0]


def test_has_a_largest_and_a_smallest_scale():
    assert scales([1], start=2.0**24, period=1)[0][1] == 2.0**24
    # At 1 the scale is not the cause; the step is applied, so that the run stops.
    assert scales([0, 0], start=2.0) == [(False, 1.0), (True, 1.0)]


def half(network='mlp', args=None, **optimizer):
    optimizer = {'name': 'adam', 'ema_decay': 0.9, 'weight_decay': 0.1, **optimizer}
    return stepping.model(network, args, optimizer, compute_dtype='float16')


def test_scale_starts_at_two_to_the_15th_and_changes_nothing_else():
    assert stepping.train(half(), 0)[0][0][SCALE] == 2.0**15
    assert loss_scaling.PERIOD == 2000
    states, logs = stepping.train(half(), 3, change={SCALE: 2.0**9})
    assert states[3][GOOD] == 3
    other, _ = stepping.train(half(), 3, change={SCALE: 2.0**7})
    stepping.close(states[3], other[3], 2e-2, 2e-3, lambda n: 'loss_scale' not in n)
    assert [log['loss_scale'] for log in logs] == [2.0**9] * 3


@pytest.mark.extended
@pytest.mark.parametrize('name', ['momentum', 'adamw', 'muon', 'ftrl'])
def test_a_step_that_overflows_changes_nothing_but_step_and_scale(name):
    model_fn = half(name=name, lr_multipliers=(('logits', 2.0),), clip_norm=1.0)
    start = stepping.train(model_fn, 2)[0][-1]
    huge = {SCALE: 2.0**40, GOOD: 7}
    states, logs = stepping.train(model_fn, 2, start, change=huge)
    assert np.isfinite(logs[0]['loss'])
    for before, after in zip(states, states[1:], strict=False):
        for key, value in before.items():
            if key not in ('global_step', SCALE, GOOD):
                np.testing.assert_array_equal(value, after[key], err_msg=key)
    assert [state['global_step'] for state in states] == [2, 3, 4]
    assert [state[SCALE] for state in states] == [2.0**40, 2.0**39, 2.0**38]
    assert states[1][GOOD] == 0
    # With a suitable scale, training continues.
    after = stepping.train(model_fn, 1, states[2], change={SCALE: 2.0**10})[0][1]
    assert not np.array_equal(after['mlp/dense1/kernel'], start['mlp/dense1/kernel'])


def test_gradients_are_those_of_float32_within_float16():
    plain = stepping.model('cnn', optimizer={'name': 'sgd', 'learning_rate': 0.1})
    mixed = stepping.model(
        'cnn',
        optimizer={'name': 'sgd', 'learning_rate': 0.1},
        compute_dtype='float16',
    )
    a = stepping.train(plain, 1)[0]
    b = stepping.train(mixed, 1, change={SCALE: 2.0**8})[0]
    for name, first in a[0].items():
        change, expected = b[1][name] - b[0][name], a[1][name] - first
        assert np.abs(change - expected).max() <= 0.02 * np.abs(expected).max()
        if name != 'global_step':
            assert b[1][name].dtype == np.float32


def test_scaling_saves_gradients_too_small_for_float16():
    # Tiny weights of the last layer make the gradient of the first layer tiny.
    kernel = np.zeros((8, 3), np.float32)
    kernel[:, 0] = 1e-7
    model_fn = stepping.model(optimizer={'name': 'sgd'}, compute_dtype='float16')
    changed = []
    for scale in (1.0, 2.0**10):
        change = {'mlp/logits/kernel': kernel, SCALE: scale}
        states, _ = stepping.train(model_fn, 1, change=change)
        bias = [state['mlp/dense1/bias'] for state in states]
        changed.append(np.count_nonzero(bias[1] - bias[0]))
    assert changed[0] < changed[1]


@pytest.mark.extended
def test_a_run_in_two_legs_is_the_unbroken_run(tmp_path, monkeypatch):
    # Overflows at first, and doubles between the legs.
    monkeypatch.setattr(LossScale.__init__, '__defaults__', (2.0**25, 2))

    def data():
        pairs = ({'image': stepping.IMAGES}, stepping.LABELS)
        return tf.data.Dataset.from_tensor_slices(pairs).repeat().batch(12)

    def values(directory, legs):
        for steps in legs:
            model_fn = half('cnn', {'batch_norm': True})
            model = estimator.Estimator(model_fn, str(tmp_path / directory))
            model.train(data, steps=steps)
        return {n: model.get_variable_value(n) for n in model.get_variable_names()}

    whole = values('whole', [7])
    stepping.same(whole, values('legs', [3, 4]))
    assert whole['global_step'] == 7 and whole[SCALE] != 2.0**25
