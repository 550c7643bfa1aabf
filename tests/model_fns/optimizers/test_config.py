"""OptimizerSpec: invalid settings are refused when it is made."""

import dataclasses

import numpy as np
import pytest

from estimator_clf.core.errors import SettingError
from model_fns.optimizers.config import OPTIMIZERS, SCHEDULES, OptimizerSpec


def test_defaults_and_every_name_are_accepted():
    OptimizerSpec()
    for name in OPTIMIZERS:
        OptimizerSpec(name=name)
    for schedule in SCHEDULES:
        OptimizerSpec(schedule=schedule, total_steps=10)


@pytest.mark.parametrize(
    'wrong, message',
    [
        ({'name': 'adm'}, "`optimizer`: no optimizer 'adm'; did you mean 'adam'"),
        ({'schedule': 'cosin'}, "did you mean 'cosine'"),
        ({'learning_rate': 0}, '`learning_rate` must be above 0, got 0'),
        ({'learning_rate': float('nan')}, 'finite'),
        ({'learning_rate': '0.1'}, "got '0.1'"),
        ({'momentum': 1.0}, '`momentum` must be below 1'),
        ({'weight_decay': -1e-4}, '`weight_decay` must be at least 0'),
        (
            {'decay_multipliers': (('bias', 1.0),)},
            '`decay_multipliers` needs `weight_decay`',
        ),
        ({'clip_norm': -1}, '`clip_norm` must be at least 0'),
        ({'warmup_steps': 1.5}, 'whole number'),
        ({'warmup_steps': 11, 'total_steps': 10}, '`warmup` must be at most'),
        ({'total_steps': 0}, '`total_steps` must be at least 1'),
        ({'schedule': 'cosine'}, 'total_steps'),
        ({'schedule': 'step'}, 'total_steps'),
        (
            {'schedule': 'step', 'boundaries': (20, 10)},
            '`decay_at` (boundaries) must rise',
        ),
        (
            {'lookahead': '5:0.95', 'total_steps': 10},
            '`lookahead` must be a pair (steps, decay)',
        ),
        ({'lr_multipliers': (('a',),)}, '`lr_multipliers` must be pairs'),
        ({'decay_rate': 0.0}, '`decay_rate` must be above 0'),
        ({'decay_rate': 1.5}, '`decay_rate` must be at most 1'),
        ({'power': 0}, '`power` must be above 0'),
        ({'epsilon': 0.0}, '`epsilon` must be above 0'),
        ({'rho': 1.0}, '`rho` must be below 1'),
    ],
)
def test_invalid_settings_are_refused_with_a_reason(wrong, message):
    with pytest.raises(SettingError) as e:
        OptimizerSpec(**wrong)
    assert message in str(e.value)


def test_step_boundaries_in_steps_need_no_total():
    OptimizerSpec(schedule='step', boundaries=(10, 20))


@pytest.mark.parametrize('total', range(1, 6))
def test_a_short_run_may_have_two_equal_boundaries(total):
    settings = OptimizerSpec(schedule='step', total_steps=total)
    assert settings.boundaries == (0.5, 0.75)


def test_numpy_numbers_are_accepted():
    settings = OptimizerSpec(
        learning_rate=np.float32(0.5), total_steps=np.int64(10), schedule='cosine'
    )
    assert settings == OptimizerSpec(
        learning_rate=0.5, total_steps=10, schedule='cosine'
    )
    with pytest.raises(SettingError, match='`learning_rate` must be a finite number'):
        OptimizerSpec(learning_rate=np.float32('nan'))
    with pytest.raises(SettingError, match='`momentum` must be a finite number'):
        OptimizerSpec(momentum=np.bool_(False))


def test_a_spec_from_json_is_equal_and_hashable():
    settings = OptimizerSpec(schedule='step', boundaries=(10, 20))
    asdict = dataclasses.asdict(settings)
    again = OptimizerSpec(**{**asdict, 'boundaries': list(asdict['boundaries'])})
    assert again == settings
    assert hash(again) == hash(settings)
