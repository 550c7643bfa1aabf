"""`network=pretrained`: the architectures of Keras on `LayerBuilder`."""

import functools
import os
import shutil
import socket
import sys

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import h5py
import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.config.config import make_config
from estimator_clf.core.errors import ConfigError, RunError, SettingError
from estimator_clf.training.trainer import train_and_evaluate
from estimator_clf.warm_start.keras_file import KerasFile
from estimator_clf.warm_start.keras_layer_mapping import map_by_layer
from input.formats.arrays import from_arrays
from model_fns import registry
from model_fns.layers import keras_applications, keras_functional
from model_fns.layers.layer_builder import LayerBuilder
from model_fns.networks.pretrained import preprocessed
from tests.helpers.small_run import NAMES, Recorder

v1 = tf.compat.v1

try:
    keras_applications.keras()
except SettingError as missing:
    pytest.skip(str(missing), allow_module_level=True)

RNG = np.random.default_rng(0)
SMALL = 'name=MobileNet, alpha=0.25'


def keras_model(name, size, alpha=1.0, path=None):
    """Makes a model of Keras with random weights and averages, and saves them.

    Returns:
      (images, the outputs of the model with Keras's preprocessing).
    """

    def work():
        keras = keras_applications.keras()
        make = getattr(keras.applications, name)
        options = {} if alpha == 1.0 else {'alpha': alpha}
        model = make(
            weights=None, include_top=False, input_shape=(size, size, 3), **options
        )
        for layer in keras_applications._flat(model):
            if layer.weights:
                layer.set_weights([_random(w) for w in layer.weights])
        # With the scale of real activations, for which 1e-5 is a sensible tolerance.
        preprocess = sys.modules[make.__module__].preprocess_input
        images = np.random.default_rng(1).integers(0, 256, (2, size, size, 3))
        outputs = model.predict_on_batch(preprocess(images.astype(np.float32)))
        for one in path or ():
            (model.save if one.endswith('.keras') else model.save_weights)(one)
        return images, outputs

    return keras_applications._run_eagerly(work)


def _random(variable):
    name, shape = variable.name.rpartition('/')[2], variable.shape.as_list()
    if 'count' in name:
        return np.zeros(shape, np.int64)
    if 'variance' in name or 'gamma' in name:
        return RNG.uniform(0.5, 1.5, shape)
    if len(shape) < 2:
        return RNG.normal(0, 0.1, shape)
    # He et al., 2015; an output of a depthwise kernel depends on one channel.
    fan_in = np.prod(shape[:2] if 'depthwise' in name else shape[:-1])
    return RNG.normal(0, np.sqrt(2.0 / fan_in), shape)


@pytest.mark.parametrize(
    'name, size, alpha',
    [
        ('VGG16', 32, 1.0),
        ('MobileNet', 32, 0.25),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ('MobileNetV2', 32, 0.35),
                ('MobileNetV3Small', 32, 1.0),
                ('ConvNeXtTiny', 32, 1.0),
                ('DenseNet121', 32, 1.0),
                ('EfficientNetB0', 32, 1.0),
                ('EfficientNetV2B0', 32, 1.0),
                ('InceptionV3', 75, 1.0),
                ('InceptionResNetV2', 75, 1.0),
                ('NASNetMobile', 32, 1.0),
                ('RegNetY002', 32, 1.0),
                ('ResNet50', 32, 1.0),
                ('ResNet50V2', 32, 1.0),
                ('ResNetRS50', 32, 1.0),
                ('Xception', 71, 1.0),
            )
        ),
    ],
)
def test_outputs_equal_those_of_keras_with_the_same_weights(
    name, size, alpha, tmp_path
):
    path = str(tmp_path / 'weights.h5')
    images, expected = keras_model(name, size, alpha, [path])
    config = keras_applications.config(name, (size, size, 3), alpha)
    layers = keras_functional.layers_of(config)
    with tf.Graph().as_default(), v1.Session() as session:
        given = tf.constant(images.astype(np.float32))
        with v1.variable_scope('pretrained'):
            net = LayerBuilder(False)
            outputs = keras_functional.run(net, config, preprocessed(given, name))
        variables = {v.op.name: v for v in v1.global_variables()}
        shapes = {n: tuple(v.shape.as_list()) for n, v in variables.items()}
        source = map_by_layer(path, KerasFile(path, layers).layers, layers, shapes)
        assert set(source.shapes) == set(shapes)
        feeds = {v.initial_value: source.read(n)[()] for n, v in variables.items()}
        session.run([v.initializer for v in variables.values()], feeds)
        found = session.run(outputs)
    assert np.abs(expected).max() > 1e-3
    tolerance = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, 1e-5, tolerance)


@pytest.mark.parametrize('name', ['VGG16', 'MobileNetV2', 'DenseNet121', 'ResNetRS50'])
def test_preprocessing_is_that_of_keras(name):
    images = RNG.uniform(0, 255, (2, 3, 4, 3)).astype(np.float32)
    make = getattr(keras_applications.keras().applications, name)
    expected = sys.modules[make.__module__].preprocess_input(images.copy())
    with tf.Graph().as_default(), v1.Session() as session:
        found = session.run(preprocessed(tf.constant(images), name))
        gray = session.run(preprocessed(tf.constant(images[..., :1]), name))
        same = session.run(preprocessed(tf.repeat(images[..., :1], 3, -1), name))
    np.testing.assert_allclose(found, expected, 1e-5, 1e-5)
    np.testing.assert_array_equal(gray, same)


def count(size, classes, **settings):
    with tf.Graph().as_default():
        images = v1.placeholder(tf.float32, (None, size, size, 3))
        registry.get('pretrained')(LayerBuilder(True), images, classes, **settings)
        return {v.op.name: v.shape.num_elements() for v in v1.trainable_variables()}


@pytest.mark.extended
def test_parameters_as_published():
    whole = count(224, 1000, name='VGG16', top=True)
    assert sum(whole.values()) == 138_357_544
    assert whole['fc1/kernel'] == 7 * 7 * 512 * 4096
    backbone = count(224, 10, name='VGG16')
    assert sum(n for k, n in backbone.items() if 'logits' not in k) == 14_714_688
    assert 'block1_conv1/kernel' in backbone and backbone['logits/kernel'] == 5120


def test_invalid_options_are_refused():
    for settings, words in (
        ({'name': 'VGG166'}, "did you mean 'VGG16'"),
        ({'name': 'VGG16', 'alpha': 0.5}, 'VGG16 has no alpha'),
        ({'name': 'MobileNet', 'alpha': 0.25, 'pooling': 'x'}, 'There are: avg, max'),
        ({'name': 'MobileNetV3Small', 'top': True}, 'top must be false'),
    ):
        with pytest.raises(SettingError, match=words):
            count(32 if not settings.get('top') else 224, 3, **settings)
    with pytest.raises(SettingError, match='at least 32x32'):
        count(16, 3, name='VGG16')


@pytest.mark.extended
def test_efficientnet_has_another_layer_with_imagenet_weights():
    names = [
        [layer['name'] for layer in keras_applications.config(*args)['layers']]
        for args in (
            ('EfficientNetB0', (32, 32, 3)),
            ('EfficientNetB0', (32, 32, 3), 1.0, False, True),
        )
    ]
    assert len(names[1]) == len(names[0]) + 1
    place = names[1].index('imagenet_rescaling')
    assert names[1][place - 1] == 'normalization'
    after = keras_applications.config('EfficientNetB0', (32, 32, 3), imagenet=True)
    (nodes,) = after['layers'][place + 1]['inbound_nodes']
    assert 'imagenet_rescaling' in str(nodes)


@functools.cache
def source():
    def part(number, seed):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 3, number)
        images = rng.integers(0, 120, (number, 32, 32, 3)) + 60 * labels.reshape(
            -1, 1, 1, 1
        )
        return images.astype(np.uint8), labels

    arrays = {'train': part(16, 0), 'test': part(8, 1)}
    return from_arrays(arrays, NAMES, name='small')


def run(model_dir, options='', callback=None, **settings):
    settings = {
        'train_only': 'logits',
        'batch_size': 8,
        'max_steps': 2,
        'export': False,
        'eval_every': '0',
        'learning_rate': 0.01,
        **settings,
    }
    options = f'{SMALL}, {options}' if options else SMALL
    config = make_config(
        dataset='arrays',
        network=f'pretrained({options})',
        model_dir=str(model_dir),
        **settings,
    )
    return train_and_evaluate(config, [callback] if callback else [], source=source())


def variables(directory, step=None):
    prefix = tf.train.latest_checkpoint(str(directory))
    if step is not None:
        prefix = os.path.join(str(directory), f'model.ckpt-{step}')
    reader = tf.train.load_checkpoint(prefix)
    return {
        n: reader.get_tensor(n)
        for n in reader.get_variable_to_shape_map()
        if n.startswith('pretrained/') and 'Adam' not in n
    }


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """The same weights in every type of file that Keras writes."""
    directory = tmp_path_factory.mktemp('keras')
    names = {
        'legacy': 'legacy.h5',
        'numbered': 'new.weights.h5',
        'whole': 'whole.keras',
    }
    paths = {kind: str(directory / name) for kind, name in names.items()}
    keras_model('MobileNet', 32, 0.25, list(paths.values()))
    # As in InceptionV3's file, names that the architecture no longer has.
    paths['renamed'] = str(directory / 'renamed.h5')
    shutil.copy(paths['legacy'], paths['renamed'])
    with h5py.File(paths['renamed'], 'r+') as file:
        names = file.attrs['layer_names']
        names = [n.decode() if isinstance(n, bytes) else n for n in names]
        for name in names:
            file.move(name, f'old_{name}')
        file.attrs['layer_names'] = [f'old_{name}'.encode() for name in names]
    return paths


@pytest.mark.extended
@pytest.mark.parametrize('kind', ['legacy', 'numbered', 'whole', 'renamed'])
def test_layers_are_mapped_to_the_weights_of_a_file(kind, files, tmp_path):
    layers = registry.published(
        'pretrained', {'name': 'MobileNet', 'alpha': 0.25}
    ).layers
    with tf.Graph().as_default():
        v1.train.create_global_step()
        images = v1.placeholder(tf.float32, (None, 32, 32, 3))
        with v1.variable_scope('pretrained'):
            args = {'name': 'MobileNet', 'alpha': 0.25}
            registry.get('pretrained')(LayerBuilder(True), images, 3, **args)
        variables = [v for v in v1.global_variables() if v.op.name != 'global_step']
        shapes = {v.op.name: tuple(v.shape) for v in variables}
    expected = KerasFile(files['legacy'])
    found = KerasFile(files[kind], layers)
    found = map_by_layer(files[kind], found.layers, layers, shapes)
    assert set(shapes) - set(found.shapes) == {
        'pretrained/logits/kernel',
        'pretrained/logits/bias',
    }
    for name in found.shapes:
        np.testing.assert_array_equal(
            found.read(name), expected.read(name.removeprefix('pretrained/'))
        )


@pytest.mark.slow
def test_a_run_from_a_file_resumes_without_it(files, tmp_path):
    path = str(tmp_path / 'mine.h5')
    shutil.copy(files['legacy'], path)
    whole = run(tmp_path / 'whole', f'weights={path}', max_steps=4)
    recorder = Recorder()
    run(tmp_path / 'run', f'weights={path}', recorder)
    assert any('Warm start from' in x and '0 fresh' not in x for x in recorder.messages)
    initial, final = variables(tmp_path / 'run', 0), variables(tmp_path / 'run')
    source_file = KerasFile(path)
    for name, value in initial.items():
        if 'logits' in name:
            assert not np.array_equal(value, final[name])
        else:
            np.testing.assert_array_equal(
                value, source_file.read(name.removeprefix('pretrained/'))
            )
            np.testing.assert_array_equal(value, final[name])
    os.remove(path)
    results = run(
        tmp_path / 'run',
        f'weights={path}',
        max_steps=4,
        export=True,
        check_export=False,
    )
    assert results.metrics == whole.metrics and results.export_path
    for name, value in variables(tmp_path / 'whole').items():
        np.testing.assert_array_equal(value, variables(tmp_path / 'run')[name])


@pytest.mark.slow
def test_fine_tuning_trains_all_variables_and_averages_unless_frozen(tmp_path):
    settings = {'train_only': '', 'ema_decay': 0.9, 'gradient_accumulation_steps': 2}
    settings['precision'] = 'bfloat16'
    run(tmp_path / 'all', 'weights=none', **settings)
    run(tmp_path / 'some', 'weights=none', freeze='moving_', **settings)
    start, final = variables(tmp_path / 'all', 0), variables(tmp_path / 'all')
    some = variables(tmp_path / 'some')
    for name, value in variables(tmp_path / 'some', 0).items():
        np.testing.assert_array_equal(value, start[name])
        assert not np.array_equal(final[name], value), name
        assert np.array_equal(some[name], value) == ('moving_' in name), name


@pytest.mark.extended
def test_a_file_of_another_network_is_refused(tmp_path):
    path = str(tmp_path / 'other.h5')
    keras_model('MobileNet', 32, 0.5, [path])
    with pytest.raises(
        ConfigError, match=r"does not contain this network.*'conv1' has"
    ):
        run(tmp_path / 'run', f'weights={path}')


def test_two_sources_of_weights_are_refused(tmp_path):
    with pytest.raises(ConfigError, match='both name the initial weights'):
        run(tmp_path, 'weights=a.h5', warm_start='b.h5')


@pytest.mark.extended
def test_files_have_the_names_addresses_and_hashes_of_keras(monkeypatch):
    asked = []

    def find(*args):
        asked.append(args)
        raise ConfigError('stop')

    for name in (
        'MobileNetV2',
        'MobileNetV3Small',
        'EfficientNetB0',
        'ResNet50',
        'ConvNeXtTiny',
    ):
        published = registry.published('pretrained', {'name': name})
        with pytest.raises(ConfigError, match='stop'):
            published.fetch(find)
    names, urls, digests = zip(*asked, strict=True)
    assert names == (
        'mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5',
        'weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5',
        'efficientnetb0_notop.h5',
        'resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5',
        'convnext_tiny_notop.h5',
    )
    for name, url in zip(names, urls, strict=True):
        assert url.startswith('https://storage.googleapis.com/')
        assert url.endswith('/' + name)
    # Keras publishes no hash of MobileNetV2.
    assert [len(digest or '') for digest in digests] == [0, 32, 32, 32, 64]
    module = sys.modules[f'{keras_applications.keras().__name__}.src.utils.data_utils']
    assert module.get_file.__name__ == 'get_file'
    assert '_get_file_by' not in module.get_file.__qualname__


@pytest.mark.extended
@pytest.mark.parametrize('setting', ['', 'auto', 'imagenet'])
def test_imagenet_weights_come_from_the_cache_of_keras(setting, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.delenv('KERAS_HOME', raising=False)
    monkeypatch.delenv('ESTIMATOR_CLF_WEIGHTS', raising=False)

    def refuse(*args, **kwargs):
        raise OSError('there is no network')

    monkeypatch.setattr(socket, 'create_connection', refuse)
    monkeypatch.setattr(socket, 'getaddrinfo', refuse)
    name = 'mobilenet_2_5_224_tf_no_top.h5'
    words = rf'{name} could not be downloaded.*no network.*copy it to .*{name}'
    with pytest.raises(RunError, match=words):
        run(tmp_path / 'run', weights=setting)
    cache = tmp_path / '.keras' / 'models'
    cache.mkdir(parents=True, exist_ok=True)
    path = str(cache / name)
    keras_model('MobileNet', 32, 0.25, [path])
    recorder = Recorder()
    run(tmp_path / 'run', '', recorder, weights=setting)
    assert f'Weights: {path}' in recorder.messages
    source_file, initial = KerasFile(path), variables(tmp_path / 'run', 0)
    np.testing.assert_array_equal(
        initial['pretrained/conv1/kernel'], source_file.read('conv1/kernel')
    )
    assert len(initial) == len(source_file.shapes) + 2


def test_imagenet_is_for_pretrained(tmp_path):
    config = make_config(dataset='arrays', network='linear', warm_start='imagenet')
    from estimator_clf.warm_start.from_config import warm_start_of

    with pytest.raises(ConfigError, match='needs a published network'):
        warm_start_of(config, None, None, print)
