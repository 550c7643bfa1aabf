"""Fine-tuning is kept only if the validation split says that it is better."""

import math

import pytest

from estimator_clf.config.metric_goal import MetricGoal
from estimator_clf.training.transfer.selection import compare, summary

GOAL = MetricGoal('loss', 'auto')


def results(*pairs):
    return {
        step * 3: {'loss': loss, 'accuracy': accuracy}
        for step, (loss, accuracy) in enumerate(pairs)
    }


@pytest.mark.parametrize(
    ('pairs', 'kept', 'final'),
    [
        ([(0.5, 0.8), (0.4, 0.8), (0.3, 0.9)], 6, 6),
        ([(0.5, 0.8), (0.3, 0.9), (0.4, 0.8)], 3, 7),
        ([(0.5, 0.8), (0.6, 0.9), (0.7, 0.9)], 0, 7),
        ([(0.5, 0.8), (0.5, 0.8)], 0, 4),
        ([(0.5, 0.8), (0.4, 0.7)], 0, 4),
        ([(0.5, 0.8), (math.nan, 0.9)], 0, 4),
    ],
    ids=['last', 'earlier', 'worse', 'equal', 'fewer right', 'not finite'],
)
def test_keeps_what_is_better(pairs, kept, final):
    facts = compare(results(*pairs), GOAL, 3 * (len(pairs) - 1))
    assert (facts['kept_step'], facts['final_step']) == (kept, final)
    assert summary(facts).startswith('kept' if kept else 'not kept')
