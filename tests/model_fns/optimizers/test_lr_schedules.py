"""Learning rate schedules against a reference in NumPy."""

import math

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.core.errors import SettingError
from model_fns.optimizers.lr_schedules import learning_rate

BASE, TOTAL, WARMUP, END = 0.4, 100, 10, 0.01


def reference(step, schedule, warmup):
    if step < warmup:
        return BASE * step / warmup
    p = min((step - warmup) / (TOTAL - warmup), 1.0)
    if schedule == 'constant':
        return BASE
    if schedule == 'step':
        return BASE * 0.1 ** ((step >= 50) + (step >= 80))
    if schedule == 'exponential':
        return BASE * 0.1**p
    if schedule == 'polynomial':
        return END + (BASE - END) * (1 - p) ** 2
    return END + (BASE - END) * (1 + math.cos(math.pi * p)) / 2


def rate(step, schedule, warmup, **kwargs):
    arguments = {
        'base': BASE,
        'schedule': schedule,
        'total_steps': TOTAL,
        'warmup_steps': warmup,
        'boundaries': (0.5, 80),
        'power': 2.0,
        'end': END,
    }
    return learning_rate(step, **{**arguments, **kwargs})


STEPS = [0, 1, 5, 9, 10, 11, 49, 50, 79, 80, 99, 100, 1000]


@pytest.mark.parametrize('warmup', [0, WARMUP])
@pytest.mark.parametrize(
    'schedule', ['constant', 'step', 'exponential', 'polynomial', 'cosine']
)
def test_against_reference_in_eager_and_graph(schedule, warmup):
    expected = [reference(step, schedule, warmup) for step in STEPS]
    eager = [rate(step, schedule, warmup).numpy() for step in STEPS]
    np.testing.assert_allclose(eager, expected, rtol=1e-6)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        step = tf.compat.v1.placeholder(tf.int64, ())
        op = rate(step, schedule, warmup)
        assert op.dtype == tf.float32 and op.shape == ()
        graph = [session.run(op, {step: s}) for s in STEPS]
    np.testing.assert_allclose(graph, expected, rtol=1e-6)


def test_warm_up_starts_at_zero_and_rises_by_equal_steps():
    rates = [rate(step, 'constant', 4).numpy() for step in range(6)]
    np.testing.assert_allclose(rates, [0, 0.1, 0.2, 0.3, 0.4, 0.4], rtol=1e-6)


def test_warm_up_from_a_share():
    rates = [
        learning_rate(
            step,
            base=1.0,
            schedule='polynomial',
            total_steps=6,
            warmup_steps=4,
            warmup_from=0.2,
            end=0.1,
        ).numpy()
        for step in range(7)
    ]
    np.testing.assert_allclose(rates, [0.2, 0.4, 0.6, 0.8, 1, 0.55, 0.1], rtol=1e-6)
    with pytest.raises(SettingError, match='`warmup_from` must be below 1'):
        learning_rate(0, base=1.0, warmup_from=1.0)


def test_warm_up_as_long_as_the_run():
    assert rate(100, 'cosine', 100).numpy() == pytest.approx(BASE)
    assert rate(99, 'cosine', 100).numpy() == pytest.approx(0.99 * BASE)


def test_steps_beyond_the_precision_of_float32_are_distinguished():
    boundary = 2**24 + 1
    low, high = (
        rate(s, 'step', 0, total_steps=None, boundaries=(boundary,)).numpy()
        for s in (boundary - 1, boundary)
    )
    assert low == pytest.approx(BASE)
    assert high == pytest.approx(BASE / 10)


def test_invalid_arguments_are_refused():
    with pytest.raises(SettingError, match="did you mean 'cosine'"):
        learning_rate(0, base=1.0, schedule='cosin', total_steps=10)
    with pytest.raises(SettingError, match='how long the run is'):
        learning_rate(0, base=1.0, schedule='cosine')
