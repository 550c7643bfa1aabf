"""Tests of the composed settings: checks, flat access, differences."""

import dataclasses
import json
import os

import pytest

from estimator_clf.config import config_json
from estimator_clf.config.config import make_config
from estimator_clf.config.fields import FIELDS, GROUPS, TYPES
from estimator_clf.core.errors import ConfigError


@pytest.mark.parametrize(
    'settings, message',
    [
        ({'batch_size': 0}, '`batch_size` must be at least 1, got 0'),
        ({'batch_size': -3}, '`batch_size` must be at least 1, got -3'),
        ({'batch_size': None}, '`batch_size` must be a whole number, got None'),
        ({'batch_size': '128'}, "`batch_size` must be a whole number, got '128'"),
        ({'batch_size': 1.5}, '`batch_size` must be a whole number, got 1.5'),
        ({'batch_size': True}, '`batch_size` must be a whole number, got True'),
        ({'histograms': 1}, '`histograms` must be a bool, got 1'),
        ({'eval_every': 100}, '`eval_every` must be text, got 100'),
        ({'learning_rate': 0.0}, '`learning_rate` must be above 0, got 0.0'),
        ({'learning_rate': float('nan')}, '`learning_rate` must be above 0, got nan'),
        ({'learning_rate': float('inf')}, '`learning_rate` must be finite, got inf'),
        ({'epochs': -1.0}, '`epochs` must be at least 0, got -1.0'),
        ({'epochs': float('inf')}, '`epochs` must be finite, got inf'),
        ({'epochs': float('nan')}, '`epochs` must be at least 0, got nan'),
        ({'max_steps': 0}, '`max_steps` must be at least 1, got 0'),
        ({'channels': 2}, '`channels` must be 1 or 3, got 2'),
        ({'validation_split': 1.0}, '`validation_split` must be from 0 to below 1'),
        ({'momentum': -0.1}, '`momentum` must be from 0 to below 1, got -0.1'),
        ({'eval_crop': 0.0}, '`eval_crop` must be above 0 and at most 1, got 0.0'),
        ({'seed': -1}, '`seed` must be at least 0, got -1'),
        ({'replicas': 0}, '`replicas` must be at least 1, got 0'),
        ({'keep_checkpoints': 0}, '`keep_checkpoints` must be at least 1, got 0'),
        ({'device': 'tpu'}, "`device` must be one of auto, cpu, gpu, got 'tpu'"),
        ({'eval_every': 'often'}, '`eval_every` must be a number of steps'),
        ({'save_every': ''}, '`save_every` must be a number of steps'),
        ({'warmup': '1.5'}, '`warmup` must be a whole number of steps'),
        ({'log_every': 'x'}, '`log_every` must be a number of steps'),
        ({'epochs': 1.0, 'max_steps': 1}, '`epochs` and `max_steps` both set the'),
        ({'warp': 9}, 'there is no setting warp'),
    ],
)
def test_an_invalid_value_is_refused_with_its_name(settings, message):
    with pytest.raises(ConfigError) as caught:
        make_config(**settings)
    assert message in str(caught.value)


def test_every_default_passes_its_own_check():
    config = make_config()
    for name, group in GROUPS.items():
        assert group.TITLE and isinstance(getattr(config, name), group)
    for name, field in FIELDS.items():
        assert field.metadata['help'].endswith(('.', ')'))
        assert TYPES[name] in (str, int, float, bool)


def test_every_setting_belongs_to_one_group():
    names = [field.name for g in GROUPS.values() for field in dataclasses.fields(g)]
    assert len(names) == len(set(names)) == len(FIELDS)


def test_directories_have_defaults_that_follow_from_other_settings():
    config = make_config(dataset='tfds:oxford/pets', network='mlp(hidden=3)')
    assert config.run.model_dir == os.path.join('runs', 'tfds_oxford_pets-mlp')
    assert config.exports.export_dir == os.path.join(config.run.model_dir, 'export')
    config = make_config(model_dir='x', export_dir='y')
    assert config.exports.export_dir == 'y'


@pytest.mark.parametrize(
    'settings, examples, steps',
    [
        ({}, 1437, 113),  # 10 epochs.
        ({'epochs': 1.0}, 256, 2),
        ({'epochs': 1.0}, 257, 3),  # An epoch has seen every example.
        ({'epochs': 0.001}, 100, 1),
        ({'epochs': 1.1, 'batch_size': 10}, 100, 11),
        ({'epochs': 0.1, 'batch_size': 3}, 30, 1),
        ({'max_steps': 7}, 1437, 7),
    ],
)
def test_total_steps(settings, examples, steps):
    assert make_config(**settings).total_steps(examples) == steps


def test_an_interval_counts_epochs_of_this_data():
    config = make_config(
        batch_size=32, epochs=2.0, save_every='0.5epochs', eval_every='50%'
    )
    assert config.interval('save_every', 1600) == 25
    assert config.interval('eval_every', 1600) == 50


def test_flat_settings_give_the_same_config():
    config = make_config(dataset='idx', seed=3, learning_rate=1.0, max_steps=5)
    assert make_config(**json.loads(json.dumps(config.to_flat()))) == config


def test_replace_changes_some_settings_and_validates():
    config = make_config(seed=1)
    assert config.replace(seed=2).run.seed == 2 and config.run.seed == 1
    with pytest.raises(ConfigError, match='`seed` must be at least 0'):
        config.replace(seed=-1)


def test_differences_omit_settings_that_may_change():
    config = make_config(seed=1, max_steps=5)
    other = config.replace(
        seed=2, max_steps=9, data_dir='elsewhere', eval_every='3', device='cpu'
    )
    assert config.differences(other) == [('seed', 1, 2)]
    assert config.differences(config) == []


def test_a_config_of_defaults_can_be_made_without_validation():
    assert (
        make_config().run.seed == 0 and make_config().to_flat()['optimizer'] == 'adam'
    )


def test_characters_that_tensorflow_expands_are_refused_in_model_dir():
    for name in ('run [1]/m', 'runs/*', 'what?'):
        with pytest.raises(ConfigError, match='`model_dir` must not contain any of'):
            make_config(model_dir=name)


def test_the_file_name_is_that_of_earlier_versions():
    assert config_json.FILE_NAME == 'config.json'
