"""A resumed run says when its learning rate schedule is another one."""

import pytest

from estimator_clf.config.config import make_config
from estimator_clf.core.errors import ConfigError
from estimator_clf.training.models import build_optimizer_spec
from estimator_clf.training.schedule_change import describe


def config(**settings):
    settings = {'schedule': 'cosine', 'learning_rate': 0.05, **settings}
    return make_config(dataset='digits', batch_size=10, **settings)


def test_more_epochs_stretch_a_cosine():
    text = describe(config(epochs=10), config(epochs=20), 100, 100)
    assert text == (
        '`epochs=20` (10 before): the schedule of the learning rate now has 200 steps '
        'instead of 100, and at step 100 the rate changes from 0 to 0.025. To keep the '
        'schedule of the run so far, set `schedule_length=10epochs`.'
    )


def test_schedule_length_keeps_the_schedule():
    before = config(epochs=10)
    now = config(epochs=20, schedule_length='10epochs')
    assert describe(before, now, 100, 100) is None
    old, new = (build_optimizer_spec(c, 100) for c in (before, now))
    assert old.rate_arguments() == new.rate_arguments()
    # The third command of a run, without it.
    again = describe(now, config(epochs=20), 100, 150)
    assert '`schedule_length=not set` (10epochs before)' in again
    assert 'set `schedule_length=10epochs`' in again


@pytest.mark.parametrize(
    'settings,changes',
    [
        ({'schedule': 'constant'}, False),
        ({'schedule': 'constant', 'warmup': '5%'}, True),
        ({'schedule': 'constant', 'warmup': '5'}, False),
        ({'schedule': 'step', 'decay_at': '50%'}, True),
        ({'schedule': 'step', 'decay_at': '50, 5epochs'}, False),
        ({'schedule': 'polynomial'}, True),
        ({'schedule': 'exponential'}, True),
        ({'schedule': 'constant', 'lookahead': 'every=5, decay=0.95'}, True),
    ],
)
def test_settings_that_refer_to_the_length_of_the_run(settings, changes):
    before, now = (config(max_steps=n, **settings) for n in (100, 150))
    text = describe(before, now, 100, 60)
    assert bool(text) == changes
    if changes:
        assert '`schedule_length=100`' in text
        fixed = config(max_steps=150, schedule_length='100', **settings)
        assert describe(before, fixed, 100, 60) is None


def test_a_rate_that_changes_only_later():
    settings = {'schedule': 'step', 'decay_at': '50%'}
    text = describe(
        config(max_steps=100, **settings), config(max_steps=150, **settings), 100, 20
    )
    assert 'at step 20 the rate is 0.05 as before, but not at all later steps' in text


@pytest.mark.parametrize('length', ['10%', '0', 'ten'])
def test_invalid_lengths(length):
    with pytest.raises(ConfigError, match='`schedule_length` must be'):
        config(schedule_length=length)
