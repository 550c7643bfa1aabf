"""The settings of a run: checks, JSON, what may change when a run goes on."""

import dataclasses
import json
import os

import pytest

from estimator_clf.config import config as configuration
from estimator_clf.config.config import Config
from estimator_clf.core.errors import ConfigError
from estimator_clf.training.config_checks import unused_settings


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
        ({'eval_every': 100}, '`eval_every` must be a text, got 100'),
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
        ({'epochs': 1.0, 'max_steps': 1}, '`epochs` and `max_steps` both say how long'),
    ],
)
def test_what_cannot_be_is_refused_in_words(settings, message):
    with pytest.raises(ConfigError) as caught:
        Config(**settings)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    'settings, words',
    [
        ({}, []),
        ({'optimizer': 'nesterov', 'momentum': 0.95}, []),
        ({'schedule': 'step', 'decay_at': '10', 'decay_rate': 0.5}, []),
        ({'warmup': '10%', 'warmup_from': 0.2}, []),
        ({'optimizer': 'sgd', 'momentum': 0.95}, ['`momentum=0.95` does nothing with']),
        ({'decay_at': '10'}, ['`decay_at=10` does nothing with `schedule`=']),
        ({'warmup_from': 0.2}, ['`warmup_from=0.2` does nothing without `warmup`']),
    ],
)
def test_what_does_nothing_beside_others_is_said(settings, words):
    found = unused_settings(Config(**{'schedule': 'constant', **settings}))
    assert len(found) == len(words)
    assert all(a.startswith(b) for a, b in zip(found, words, strict=True))


def test_every_default_passes_its_own_check():
    config = Config()
    for field in dataclasses.fields(config):
        assert field.metadata['group'] and field.metadata['help'].endswith(('.', ')'))
        assert field.type in (str, int, float, bool)


def test_directories_that_follow_from_others():
    config = Config(dataset='tfds:oxford/pets', network='mlp')
    assert config.model_dir == os.path.join('runs', 'tfds_oxford_pets-mlp')
    assert config.export_dir == os.path.join(config.model_dir, 'export')
    assert Config(model_dir='x', export_dir='y').export_dir == 'y'


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
    assert Config(**settings).total_steps(examples) == steps


def test_interval_counts_epochs_of_this_data():
    config = Config(batch_size=32, epochs=2.0, save_every='0.5epochs', eval_every='50%')
    assert config.interval('save_every', 1600) == 25
    assert config.interval('eval_every', 1600) == 50


def test_there_and_back_through_json():
    config = Config(dataset='idx', seed=3, learning_rate=1.0, max_steps=5)
    again = Config.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config


def test_a_setting_of_a_newer_version_is_named():
    with pytest.raises(ConfigError, match='does not know: warp'):
        Config.from_dict({'warp': 9})


def test_differences_are_those_that_matter():
    config = Config(seed=1, max_steps=5)
    other = dataclasses.replace(
        config, seed=2, max_steps=9, data_dir='elsewhere', eval_every='3', device='cpu'
    )
    assert config.differences(other) == [('seed', 1, 2)]
    assert config.differences(config) == []


def write(directory, text):
    (directory / configuration.FILE_NAME).write_text(text)


def test_load_gives_back_the_settings(tmp_path):
    config = Config(model_dir='runs/once', seed=4, export_dir='/served/there')
    write(tmp_path, json.dumps({'settings': config.to_dict()}))
    loaded = configuration.load(str(tmp_path))
    assert loaded == dataclasses.replace(config, model_dir=str(tmp_path))


def test_a_directory_that_was_moved_exports_into_itself(tmp_path):
    write(tmp_path, json.dumps({'settings': Config(model_dir='runs/once').to_dict()}))
    assert configuration.load(str(tmp_path)).export_dir == str(tmp_path / 'export')


@pytest.mark.parametrize(
    'text', ['', '{"settings": ', '[]', '{}', '{"settings": null}', '"x"']
)
def test_a_damaged_file_is_said_to_be(tmp_path, text):
    write(tmp_path, text)
    with pytest.raises(ConfigError, match='config.json is corrupt'):
        configuration.load(str(tmp_path))


def test_a_value_that_cannot_be_is_named_when_loaded(tmp_path):
    write(tmp_path, json.dumps({'settings': {'batch_size': 'many'}}))
    with pytest.raises(ConfigError, match="`batch_size`.*got 'many'"):
        configuration.load(str(tmp_path))


def test_no_run_there(tmp_path):
    with pytest.raises(ConfigError, match='`model_dir` must be the directory of a run'):
        configuration.load(str(tmp_path))


def test_names_that_tensorflow_takes_for_patterns():
    for name in ('run [1]/m', 'runs/*', 'what?'):
        with pytest.raises(ConfigError, match='`model_dir` must not have any of'):
            Config(model_dir=name)


def test_a_directory_that_was_renamed(tmp_path):
    for name in ('a [1]', 'b'):
        settings = {**Config().to_dict(), 'model_dir': f'runs/{name}'}
        settings['export_dir'] = f'runs/{name}/export'
        text = json.dumps({'settings': settings})
        (tmp_path / 'config.json').write_text(text)
        config = configuration.load(str(tmp_path))
        assert config.model_dir == str(tmp_path)
        assert config.export_dir == str(tmp_path / 'export')
