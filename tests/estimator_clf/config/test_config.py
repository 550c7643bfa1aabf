"""Tests of the composed settings: checks, flat access, differences."""

import dataclasses
import json
import os

import pytest

from estimator_clf.config import config_json
from estimator_clf.config.config import make_config
from estimator_clf.config.groups.fields import FIELDS, GROUPS, TYPES
from estimator_clf.core.errors import ConfigError


@pytest.mark.parametrize(
    'settings, message',
    [
        ({'batch_size': 0}, '`batch_size` must be at least 1, got 0'),
        ({'batch_size': -3}, '`batch_size` must be at least 1, got -3'),
        (
            {'keep_checkpoints': None},
            '`keep_checkpoints` must be a whole number, got None',
        ),
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
    assert config.run.model_dir == os.path.abspath('runs/tfds_oxford_pets-mlp')
    assert config.exports.export_dir == os.path.join(config.run.model_dir, 'export')
    config = make_config(model_dir='x', export_dir='y')
    assert config.exports.export_dir == os.path.abspath('y')


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


@pytest.mark.parametrize('name', ['model_dir', 'export_dir', 'data_dir', 'warm_start'])
@pytest.mark.parametrize('path', ['gs://b/run', 'file:///run', 'a\0b', ' '])
def test_paths_that_cannot_be_are_refused(name, path):
    with pytest.raises(ConfigError, match=f'`{name}` must'):
        make_config(**{name: path})


def test_extra_eval_sets_resolve_their_directories():
    with pytest.raises(ConfigError, match='`extra_eval_sets`: data_dir must be a pa'):
        make_config(extra_eval_sets='a(data_dir="s3://b")')


def test_paths_are_absolute_and_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv('HOME', str(tmp_path))
    config = make_config(model_dir='~/run', data_dir='d/../data[1]')
    assert config.run.model_dir == str(tmp_path / 'run')
    assert config.exports.export_dir == str(tmp_path / 'run' / 'export')
    assert config.data.data_dir == os.path.abspath('data[1]')
    assert config.replace(data_dir='~').data.data_dir == str(tmp_path)


def test_a_warm_start_stays_as_given_since_a_resumed_run_must_have_the_same():
    assert make_config(warm_start='a/b:best').model.warm_start == 'a/b:best'


@pytest.mark.parametrize('name', ['model_dir', 'export_dir'])
def test_directories_that_tensorflow_writes_must_be_utf8(name):
    with pytest.raises(ConfigError, match=f'`{name}` must be UTF-8'):
        make_config(**{name: 'caf\udce9'})


def test_the_file_name_is_that_of_earlier_versions():
    assert config_json.FILE_NAME == 'config.json'
