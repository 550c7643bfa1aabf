"""Which of two results is the better one."""

import math

import pytest

from estimator_clf.config.metric_goal import MetricGoal
from estimator_clf.core.errors import ConfigError


@pytest.mark.parametrize(
    'metric, mode, better, worse',
    [
        ('accuracy', 'auto', 0.9, 0.8),
        ('loss', 'auto', 0.1, 0.2),
        ('expected_calibration_error', 'auto', 0.1, 0.2),
        ('accuracy', 'min', 0.8, 0.9),
        ('loss', 'max', 0.2, 0.1),
    ],
)
def test_direction(metric, mode, better, worse):
    goal = MetricGoal(metric, mode)
    assert goal.better(better, worse)
    assert not goal.better(worse, better)
    assert not goal.better(better, better)
    assert not goal.better(better, worse, by=0.5)


def test_what_is_no_number_is_never_better():
    goal = MetricGoal('accuracy')
    assert not goal.better(math.nan, 0.0)
    assert not goal.better(math.nan, math.nan)
    assert goal.better(0.0, math.nan)
    assert math.isnan(goal.value({'accuracy': None}))
    assert math.isnan(goal.value({}))


def test_misspelt_metric_is_answered_with_the_right_names():
    names = ['accuracy', 'loss', 'precision/cats']
    MetricGoal('loss').check(names)
    with pytest.raises(ConfigError, match="'accuracy'.*accuracy, loss"):
        MetricGoal('acuracy').check(names)
