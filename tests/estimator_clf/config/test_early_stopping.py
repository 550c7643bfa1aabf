"""When waiting has been long enough."""

import pytest

from estimator_clf.config.early_stopping import EarlyStopping, parse_patience
from estimator_clf.config.metric_goal import MetricGoal
from estimator_clf.core.errors import ConfigError


def _told(early, values, every=10):
    """The number of the evaluation at which it says stop, or None."""
    for number, value in enumerate(values, 1):
        if early.update(number * every, {'accuracy': value}):
            return number
    return None


def test_patience_in_evaluations():
    def early():
        return EarlyStopping(MetricGoal('accuracy'), 2)

    assert _told(early(), [0.1, 0.2, 0.3, 0.4]) is None
    assert _told(early(), [0.5, 0.4, 0.3]) == 3
    assert _told(early(), [0.5, 0.4, 0.6, 0.6, 0.6]) == 5


def test_patience_in_steps():
    early = EarlyStopping(MetricGoal('accuracy'), 25, 'steps')
    assert _told(early, [0.5, 0.4, 0.4, 0.4]) == 4


def test_min_delta():
    values = [0.50, 0.51, 0.52, 0.53]
    assert _told(EarlyStopping(MetricGoal('accuracy'), 2), values) is None
    assert _told(EarlyStopping(MetricGoal('accuracy'), 2, min_delta=0.1), values) == 3


def test_a_run_that_never_gives_a_number_is_stopped():
    assert _told(EarlyStopping(MetricGoal('accuracy'), 3), [float('nan')] * 9) == 3


def test_told_again_it_is_where_it_was():
    values = [0.5, 0.6, 0.5, 0.5, 0.5]
    whole = EarlyStopping(MetricGoal('accuracy'), 3)
    assert _told(whole, values) == 5
    first, second = (EarlyStopping(MetricGoal('accuracy'), 3) for _ in range(2))
    assert _told(first, values[:4]) is None
    assert _told(second, values[:4]) is None
    assert second.update(50, {'accuracy': 0.5})
    assert second.why() == whole.why()


@pytest.mark.parametrize(
    'text, wanted',
    [
        ('', None),
        ('0', None),
        ('5evals', (5.0, 'evaluations')),
        ('1 evaluation', (1.0, 'evaluations')),
        ('2epochs', (2.0, 'epochs')),
        ('100', (100.0, 'steps')),
    ],
)
def test_parse(text, wanted):
    assert parse_patience(text, 'early_stopping') == wanted


@pytest.mark.parametrize('text', ['evals', '1.5evals', '-1evals', '0evals', 'soon'])
def test_parse_refuses(text):
    with pytest.raises(ConfigError, match='`early_stopping`'):
        parse_patience(text, 'early_stopping')
