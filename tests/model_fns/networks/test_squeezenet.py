"""`network=squeezenet`: SqueezeNet 1.1 against Keras's layers with the same weights."""

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import h5py
import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.config.config import make_config
from estimator_clf.core.errors import ConfigError, SettingError
from estimator_clf.training.trainer import train_and_evaluate
from estimator_clf.warm_start.keras_file import KerasFile
from estimator_clf.warm_start.keras_layer_mapping import map_by_layer
from input.formats.arrays import from_arrays
from model_fns import registry
from model_fns.layers import keras_applications
from model_fns.layers.layer_builder import LayerBuilder
from model_fns.networks import squeezenet
from tests.helpers.real_data import real_data
from tests.helpers.small_run import NAMES, Recorder

v1 = tf.compat.v1

RNG = np.random.default_rng(0)

FIRES = ((2, 16, 64), (3, 16, 64), (4, 32, 128), (5, 32, 128))
FIRES += ((6, 48, 192), (7, 48, 192), (8, 64, 256), (9, 64, 256))


def keras_squeezenet(images, path, weights):
    """Runs Keras's layers.

    Args:
      images: uint8 [B, H, W, 3], RGB.
      path: file that is read, or, with random weights, written.
      weights: 'random' or 'file'.

    Returns:
      dict 'conv1', 'fire2', … -> outputs.
    """

    def work():
        keras = keras_applications.keras()
        layers = keras.layers
        inputs = keras.Input((*images.shape[1:3], 3))
        x = layers.Conv2D(64, 3, 2, 'valid', activation='relu', name='conv1')(inputs)
        outputs = {'conv1': x}
        x = layers.MaxPooling2D(3, 2)(x)
        for number, squeezed, expanded in FIRES:
            name = f'fire{number}'
            x = layers.Conv2D(
                squeezed, 1, activation='relu', name=f'{name}/squeeze1x1'
            )(x)
            parts = [
                layers.Conv2D(
                    expanded,
                    size,
                    padding='same',
                    activation='relu',
                    name=f'{name}/expand{size}x{size}',
                )(x)
                for size in (1, 3)
            ]
            x = outputs[name] = layers.Concatenate()(parts)
            if number in (3, 5):
                x = layers.MaxPooling2D(3, 2)(x)
        model = keras.Model(inputs, list(outputs.values()))
        if weights == 'random':
            rng = np.random.default_rng(0)
            for w in model.weights:
                deviation = 0.1
                if len(w.shape) == 4:  # He et al., 2015.
                    deviation = np.sqrt(2.0 / np.prod(w.shape[:3]))
                w.assign(rng.normal(0, deviation, w.shape))
            model.save_weights(path)
        else:
            model.load_weights(path)
        mean = np.float32([103.939, 116.779, 123.68])
        pixels = images[..., ::-1].astype(np.float32) - mean
        return dict(zip(outputs, model.predict_on_batch(pixels), strict=True))

    try:
        return keras_applications._run_eagerly(work)
    except SettingError as missing:
        pytest.skip(str(missing))


def own_squeezenet(images, path):
    """Runs the network with the weights of a file; returns dict stage -> outputs."""
    layers = registry.published('squeezenet', {}).layers
    with tf.Graph().as_default(), v1.Session() as session:
        with v1.variable_scope('squeezenet'):
            given = tf.constant(images.astype(np.float32))
            outputs = dict(squeezenet.stages(LayerBuilder(False), given))
        variables = {v.op.name: v for v in v1.global_variables()}
        shapes = {n: tuple(v.shape.as_list()) for n, v in variables.items()}
        source = map_by_layer(path, KerasFile(path, layers).layers, layers, shapes)
        assert set(source.shapes) == set(shapes)
        assert sum(np.prod(s) for s in shapes.values()) == 722_496
        feeds = {v.initial_value: source.read(n) for n, v in variables.items()}
        session.run([v.initializer for v in variables.values()], feeds)
        return session.run(outputs)


def check(found, expected):
    assert list(found) == ['conv1', *(f'fire{n}' for n in range(2, 10))]
    assert set(found) == set(expected)
    for name, value in expected.items():
        scale = np.abs(value).max()
        assert scale > 1e-3
        np.testing.assert_allclose(found[name], value, 1e-5, 1e-5 * scale, err_msg=name)


def photos(size):
    return np.random.default_rng(1).integers(0, 256, (2, *size, 3)).astype(np.uint8)


def test_every_fire_module_equals_that_of_keras_with_the_same_weights(tmp_path):
    path = str(tmp_path / 'squeezenet.h5')
    expected = keras_squeezenet(photos((65, 50)), path, 'random')
    check(own_squeezenet(photos((65, 50)), path), expected)


@pytest.mark.slow
def test_every_fire_module_equals_that_of_keras_with_the_published_weights():
    path = real_data('squeezenet/squeezenet1.1_imagenet_notop.h5')
    directory = real_data('dogscats/valid')
    names = tf.io.gfile.glob(f'{directory}/*/*.jpg')[:4]
    read = [tf.io.decode_jpeg(tf.io.read_file(name), 3) for name in names]
    images = np.stack([tf.image.resize(image, (227, 227)) for image in read])
    images = images.astype(np.uint8)
    check(own_squeezenet(images, path), keras_squeezenet(images, path, 'file'))


@pytest.mark.combinations
@pytest.mark.parametrize(
    'pooling, inputs', [('avg', 512), ('max', 512), ('avg+max', 1024), ('none', 2048)]
)
def test_pooling(pooling, inputs):
    with tf.Graph().as_default(), v1.Session() as session:
        net = LayerBuilder(False)
        images = tf.constant(photos((50, 50)).astype(np.float32))
        logits = registry.get('squeezenet')(net, images, 3, pooling=pooling)
        assert logits.shape.as_list() == [2, 3]
        features, last = net.dense_input, None
        for op in tf.compat.v1.get_default_graph().get_operations():
            if op.type == 'Relu':
                last = op.outputs[0]
        session.run(v1.global_variables_initializer())
        features, last = session.run([features, last])
    mean, largest = last.mean((1, 2)), last.max((1, 2))
    expected = {
        'avg': mean,
        'max': largest,
        'avg+max': np.concatenate([mean, largest], 1),
        'none': last.reshape(2, -1),
    }[pooling]
    assert features.shape == (2, inputs)
    np.testing.assert_allclose(features, expected, 1e-5, 1e-5)


def test_gray_images_are_repeated():
    images = photos((40, 40)).astype(np.float32)[..., :1]
    with tf.Graph().as_default(), v1.Session() as session:
        build = registry.get('squeezenet')
        logits = []
        for given in (images, np.repeat(images, 3, -1)):
            with v1.variable_scope('squeezenet', reuse=bool(logits)):
                logits.append(build(LayerBuilder(False), tf.constant(given), 3))
        session.run(v1.global_variables_initializer())
        gray, color = session.run(logits)
    np.testing.assert_array_equal(gray, color)


@pytest.mark.parametrize(
    'size, options, words',
    [
        ((30, 40, 3), {}, 'at least 31x31 pixels, got 30x40'),
        ((40, 40, 4), {}, '1 or 3 channels, got 4'),
        ((40, 40, 3), {'pooling': 'mean'}, 'There are: avg, max, avg.max, none'),
    ],
)
def test_invalid_options_are_refused(size, options, words):
    with tf.Graph().as_default(), pytest.raises(SettingError, match=words):
        images = v1.placeholder(tf.float32, (None, *size))
        registry.get('squeezenet')(LayerBuilder(True), images, 3, **options)


def test_published_file_has_its_parameters():
    path = real_data('squeezenet/squeezenet1.1_imagenet_notop.h5')
    with h5py.File(path) as file:
        assert 'conv1' in file
    layers = registry.published('squeezenet', {}).layers
    found = KerasFile(path, layers)
    assert sum(np.prod(shape) for shape in found.shapes.values()) == 722_496
    assert {name for name, weights in found.layers.items() if weights} == {
        layer.name for layer in layers
    }


def write_file(path):
    """Writes random weights as Keras does, without Keras."""
    build = registry.get('squeezenet')
    with tf.Graph().as_default(), h5py.File(path, 'w') as file:
        images = v1.placeholder(tf.float32, (None, 40, 40, 3))
        build(LayerBuilder(False), images, 3)
        layers = registry.published('squeezenet', {}).layers
        file.attrs['layer_names'] = [layer.name.encode() for layer in layers]
        for variable in v1.global_variables():
            layer, _, weight = variable.op.name.rpartition('/')
            if layer == 'logits':
                continue
            fan_in = np.prod(variable.shape[:-1], dtype=float)
            value = RNG.normal(0, np.sqrt(2.0 / fan_in), variable.shape)
            name = f'{layer}_1/{weight}:0'
            group = file.require_group(layer)
            group[name] = value.astype(np.float32)
            group.attrs['weight_names'] = [
                f'{layer}_1/{weight}:0'.encode() for weight in ('kernel', 'bias')
            ]


def run(model_dir, **settings):
    rng = np.random.default_rng(0)
    arrays = {
        part: (
            rng.integers(0, 256, (number, 40, 40, 3)).astype(np.uint8),
            np.arange(number) % 3,
        )
        for part, number in (('train', 12), ('test', 6))
    }
    config = make_config(
        dataset='arrays',
        model_dir=str(model_dir),
        **{
            'network': 'squeezenet(pooling=avg+max)',
            'train_only': 'logits',
            'batch_size': 4,
            'max_steps': 3,
            'export': False,
            'learning_rate': 0.01,
            **settings,
        },
    )
    recorder = Recorder()
    source = from_arrays(arrays, NAMES, name='small')
    return train_and_evaluate(config, [recorder], source=source), recorder.messages


def weights_of(model_dir):
    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(str(model_dir)))
    names = reader.get_variable_to_shape_map()
    names = [n for n in names if n.endswith(('kernel', 'bias'))]
    return {n: reader.get_tensor(n) for n in names if n.startswith('squeezenet/')}


@pytest.mark.extended
def test_runs_from_a_directory_of_weights_with_cached_features(tmp_path, monkeypatch):
    directory = tmp_path / 'weights'
    directory.mkdir()
    path = directory / squeezenet.FILE_NAME
    write_file(path)
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.delenv('KERAS_HOME', raising=False)
    monkeypatch.setenv('ESTIMATOR_CLF_WEIGHTS', str(directory))
    results, messages = run(tmp_path / 'auto', weights='auto', cache_features=True)
    assert f'Weights: {path}' in messages
    found = weights_of(tmp_path / 'auto')
    expected = KerasFile(str(path))
    backbone = {n: a for n, a in found.items() if 'logits' not in n}
    assert len(backbone) == len(expected.shapes) == 50
    with h5py.File(path) as file:
        for name, value in backbone.items():
            layer, _, weight = name.removeprefix('squeezenet/').rpartition('/')
            stored = file[layer][f'{layer}_1/{weight}:0']
            np.testing.assert_array_equal(value, stored)
    monkeypatch.delenv('ESTIMATOR_CLF_WEIGHTS')
    run(tmp_path / 'name', weights=squeezenet.FILE_NAME, weights_dir=str(directory))
    other = weights_of(tmp_path / 'name')
    for name, value in backbone.items():
        np.testing.assert_array_equal(other[name], value)
    path.unlink()  # A resumed run reads no weights.
    resumed, _ = run(tmp_path / 'auto', weights='auto', cache_features=True)
    assert resumed.metrics == results.metrics
    with pytest.raises(ConfigError, match=r'no official address: copy it to .*keras'):
        run(tmp_path / 'none', weights='auto')
    with pytest.raises(ConfigError, match='there is no such file'):
        run(tmp_path / 'none', weights='absent.h5')
