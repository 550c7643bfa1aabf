"""Durations, and when an interval is due."""

import pytest

from estimator_clf.core import intervals
from estimator_clf.core.errors import ConfigError


@pytest.mark.parametrize(
    'text, parsed',
    [
        ('500', (500, 'steps')),
        ('1 step', (1, 'steps')),
        ('500steps', (500, 'steps')),
        ('2epochs', (2, 'epochs')),
        ('0.5 Epoch', (0.5, 'epochs')),
        (' 10% ', (10, '%')),
        ('0', (0, 'steps')),
    ],
)
def test_parse(text, parsed):
    assert intervals.parse(text, 'save_every') == parsed


@pytest.mark.parametrize(
    'text', ['', 'often', '-5', '1e3', 'nan', 'inf', '5 minutes', '%', '1.2.3epochs']
)
def test_invalid_duration_is_refused(text):
    with pytest.raises(ConfigError, match='`save_every` must be a number of steps'):
        intervals.parse(text, 'save_every')


def test_fraction_of_a_step_is_refused():
    with pytest.raises(ConfigError, match="whole number of steps, got '1.5'"):
        intervals.parse('1.5', 'warmup')


@pytest.mark.parametrize(
    'text, steps',
    [
        ('0', 0),
        ('0epochs', 0),
        ('7', 7),
        ('2epochs', 25),
        ('10%', 100),
        ('0.01epochs', 1),  # At most once per step.
    ],
)
def test_interval(text, steps):
    assert intervals.interval(text, 'x', 12.5, 1000) == steps


def test_in_steps_is_an_integer():
    assert intervals.in_steps('1epochs', 'x', 44.9, 449) == 45
    assert isinstance(intervals.in_steps('10%', 'x', 44.9, 449), int)


def test_due_at_a_fractional_interval():
    every = 12.5
    assert [s for s in range(51) if intervals.due(s, every)] == [13, 25, 38, 50]


def test_never_due():
    assert not any(intervals.due(step, 0) for step in range(10))
    assert not intervals.due(0, 1)


@pytest.mark.parametrize('every', [1, 3, 1437 / 32, 50000 / 96, 468.75, 50000 / 96 / 6])
def test_due_once_in_every_interval(every):
    # Despite the rounding of floats: no interval is skipped, none is due twice.
    due = [step for step in range(20000) if intervals.due(step, every)]
    assert abs(len(due) - 19999 / every) < 1 + 1e-6
    gaps = {b - a for a, b in zip(due, due[1:], strict=False)}
    assert gaps <= {int(every) - 1, int(every), int(every) + 1, int(every) + 2} - {0}


def test_step_range():
    assert intervals.step_range('', 'profile') is None
    assert intervals.step_range('100:120', 'profile') == (100, 120)
    assert intervals.step_range(' 7 : 7 ', 'profile') == (7, 7)


@pytest.mark.parametrize('text', ['7', '0:3', '5:4', 'a:b', '1:2:3', '-1:2'])
def test_invalid_range_of_steps_is_refused(text):
    with pytest.raises(ConfigError, match=f"`profile` must be .* got '{text}'"):
        intervals.step_range(text, 'profile')
