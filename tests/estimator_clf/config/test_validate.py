"""Tests of settings that are valid, but have no effect."""

import pytest

from estimator_clf.config.config import make_config
from estimator_clf.config.validate import unused_settings


@pytest.mark.parametrize(
    'settings, words',
    [
        ({}, []),
        ({'optimizer': 'nesterov', 'momentum': 0.95}, []),
        ({'schedule': 'step', 'decay_at': '10', 'decay_rate': 0.5}, []),
        ({'warmup': '10%', 'warmup_from': 0.2}, []),
        ({'optimizer': 'sgd', 'momentum': 0.95}, ['`momentum=0.95` has no effect']),
        ({'decay_at': '10'}, ['`decay_at=10` has no effect with `schedule=']),
        ({'warmup_from': 0.2}, ['`warmup_from=0.2` has no effect without `warmup`']),
    ],
)
def test_a_setting_without_effect_is_reported(settings, words):
    found = unused_settings(make_config(**{'schedule': 'constant', **settings}))
    assert len(found) == len(words)
    assert all(a.startswith(b) for a, b in zip(found, words, strict=True))
