"""Tests of config.json: what is read back, of this version and of 0.1."""

import json

import pytest

from estimator_clf.config import config_json
from estimator_clf.config.config import make_config
from estimator_clf.core.errors import ConfigError


def write(directory, text):
    (directory / config_json.FILE_NAME).write_text(text)


def test_load_returns_the_settings_in_the_directory_where_they_are(tmp_path):
    config = make_config(model_dir='runs/once', seed=4, export_dir='/served/there')
    write(tmp_path, config_json.to_json(config))
    assert config_json.load(str(tmp_path)) == config.replace(model_dir=str(tmp_path))


@pytest.mark.parametrize('name', ['once', 'a [1]'])
def test_a_moved_directory_exports_into_itself(tmp_path, name):
    record = json.loads(config_json.to_json(make_config()))
    record['settings'] |= {
        'model_dir': f'runs/{name}',
        'export_dir': f'runs/{name}/export',
    }
    write(tmp_path, json.dumps(record))
    config = config_json.load(str(tmp_path))
    assert config.run.model_dir == str(tmp_path)
    assert config.exports.export_dir == str(tmp_path / 'export')


@pytest.mark.parametrize(
    'text', ['', '{"settings": ', '[]', '{}', '{"settings": null}', '"x"']
)
def test_a_corrupt_file_is_reported(tmp_path, text):
    write(tmp_path, text)
    with pytest.raises(ConfigError, match='config.json is corrupt'):
        config_json.load(str(tmp_path))


def test_an_invalid_value_is_named(tmp_path):
    write(tmp_path, json.dumps({'format': 2, 'settings': {'batch_size': 'many'}}))
    with pytest.raises(ConfigError, match="`batch_size`.*got 'many'"):
        config_json.load(str(tmp_path))


def test_a_setting_of_a_newer_version_is_named(tmp_path):
    write(tmp_path, json.dumps({'format': 3, 'settings': {'warp': 9}}))
    with pytest.raises(ConfigError, match='does not know: warp'):
        config_json.load(str(tmp_path))


def test_a_directory_without_a_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match='`model_dir` must be the directory of a run'):
        config_json.load(str(tmp_path))


def test_the_identity_of_a_run(tmp_path):
    assert config_json.run_id(str(tmp_path)) is None
    write(tmp_path, json.dumps({'settings': {}}))
    assert config_json.run_id(str(tmp_path)) == ''
    write(tmp_path, config_json.to_json(make_config(), run='abc'))
    assert config_json.run_id(str(tmp_path)) == 'abc'


def test_a_run_of_version_0_1_is_read(tmp_path):
    settings = {
        'dataset': 'tfrecord',
        'image_key': 'img',
        'label_offset': 1,
        'label_pattern': '',
        'network': 'mlp',
        'network_args': 'hidden=256x128,dropout=0.2',
        'proxy': 'cnn',
        'proxy_args': 'filters=4x8',
        'hardest': 0.5,
        'max_bad_examples': 3,
        'eval_pictures': False,
        'also_evaluate': 'fit=train:5epochs,phone=@photos/phone,test:7',
        'augment': 'flip,crop:4,randaugment:3x9,mixup:0.2',
        'eval_tta': 'mirror,shift:1',
        'lr_multipliers': 'norm/beta:64,(a|b):2',
        'freeze': 'conv1,(a|b)',
        'warm_start': 'x.h5',
        'warm_start_map': '^vgg/=cnn/,(a)=',
        'model_dir': 'runs/old',
        'export_dir': 'runs/old/export',
    }
    write(tmp_path, json.dumps({'settings': settings}))
    (tmp_path / 'dataset.json').write_text('{"class_names": ["cat", "big, dog"]}')
    config = config_json.load(str(tmp_path))
    assert config.data.dataset == 'tfrecord(image_key=img, label_offset=1)'
    assert config.network_call.kwargs == {'hidden': (256, 128), 'dropout': 0.2}
    assert config.proxy_call.kwargs == {'filters': (4, 8)}
    assert config.optimization.hard_example_fraction == 0.5
    assert config.data.max_corrupt_images == 3 and not config.evaluation.eval_plots
    assert config.data.augment == 'flip, crop(4), randaugment(9, ops=3), mixup(0.2)'
    assert config.evaluation.eval_tta == 'mirror, shift(1)'
    assert config.evaluation.extra_eval_sets == (
        'fit(train, every=5epochs), phone(data_dir=photos/phone), test(every=7)'
    )
    assert config.optimization.lr_multipliers == 'norm/beta=64, "(a|b)"=2'
    assert config.optimization.freeze == 'conv1, "(a|b)"'
    assert config.model.warm_start_map == '^vgg/=cnn/, "(a)"='
    assert config.exports.export_dir == str(tmp_path / 'export')


def test_class_weights_of_version_0_1_get_the_names_of_the_classes(tmp_path):
    write(tmp_path, json.dumps({'settings': {'class_weights': '1,2.5'}}))
    (tmp_path / 'dataset.json').write_text('{"class_names": ["cat", "big, dog"]}')
    config = config_json.load(str(tmp_path))
    assert config.optimization.class_weights == 'cat=1, "big, dog"=2.5'


def test_setting_that_was_renamed_within_a_format_is_read(tmp_path):
    settings = {'format': 2, 'settings': {'max_pixels': 12345}}
    write(tmp_path, json.dumps(settings))
    assert config_json.load(str(tmp_path)).data.max_image_pixels == 12345
