"""Weights of torchvision: the same outputs, and files that are refused."""

import sys

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.core.errors import ConfigError, SettingError
from estimator_clf.warm_start import torch_file
from estimator_clf.warm_start.keras_layer_mapping import map_by_layer
from model_fns import registry
from model_fns.layers import keras_applications, torchvision_layout
from model_fns.layers.layer_builder import LayerBuilder

v1 = tf.compat.v1

RNG = np.random.default_rng(0)
NETWORKS = {
    'squeezenet': ('squeezenet', {}),
    'resnet50': ('pretrained', {'name': 'ResNet50', 'layout': 'torchvision'}),
    'mobilenet_v2': ('pretrained', {'name': 'MobileNetV2', 'layout': 'torchvision'}),
}


def needs_keras():
    try:
        keras_applications.keras()
    except SettingError as missing:
        pytest.skip(str(missing))


def images(size):
    return np.random.default_rng(1).integers(0, 256, (2, size, size, 3), np.uint8)


def features(network, options, pixels, path):
    """Returns the inputs of the logits, pooled, with the weights of a file."""
    published = registry.published(network, options)
    with tf.Graph().as_default(), v1.Session() as session:
        net = LayerBuilder(False)
        with v1.variable_scope(network):
            given = tf.constant(pixels.astype(np.float32))
            registry.get(network)(net, given, 3, **options)
        variables = {
            v.op.name: v for v in v1.global_variables() if 'logits' not in v.op.name
        }
        shapes = {n: tuple(v.shape.as_list()) for n, v in variables.items()}
        layers = torch_file.read_layers(path, published.torch)
        source = map_by_layer(path, layers, published.layers, shapes)
        assert set(source.shapes) == set(shapes)
        feeds = {v.initial_value: source.read(n) for n, v in variables.items()}
        session.run([v.initializer for v in variables.values()], feeds)
        return session.run(net.dense_input)


def squeezenet_state():
    """Makes random tensors with the names and shapes of squeezenet1_1."""
    state = {}

    def add(module, outputs, inputs, size):
        deviation = np.sqrt(2.0 / (inputs * size * size))
        shape = (outputs, inputs, size, size)
        state[f'{module}.weight'] = RNG.normal(0, deviation, shape).astype(np.float32)
        state[f'{module}.bias'] = RNG.normal(0, 0.1, outputs).astype(np.float32)

    add('features.0', 64, 3, 3)
    inputs = 64
    sizes = ((16, 64),) * 2 + ((32, 128),) * 2 + ((48, 192),) * 2 + ((64, 256),) * 2
    indices = (3, 4, 6, 7, 9, 10, 11, 12)
    for index, (squeezed, expanded) in zip(indices, sizes, strict=True):
        add(f'features.{index}.squeeze', squeezed, inputs, 1)
        add(f'features.{index}.expand1x1', expanded, squeezed, 1)
        add(f'features.{index}.expand3x3', expanded, squeezed, 3)
        inputs = 2 * expanded
    add('classifier.1', 1000, 512, 1)
    return state


def squeezenet_reference(state, pixels):
    """Computes the average of the last feature map by NumPy, as torchvision does."""
    x = (pixels / 255.0 - torchvision_layout.MEAN) / torchvision_layout.STDDEV

    def conv(module, x, strides=1, pad=0):
        kernel = state[f'{module}.weight'].astype(np.float64)
        x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        size = kernel.shape[2]
        windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))
        y = np.einsum('bhwiyx,oiyx->bhwo', windows[:, ::strides, ::strides], kernel)
        return np.maximum(y + state[f'{module}.bias'], 0)

    def pool(x):
        windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))
        return windows[:, ::2, ::2].max((-2, -1))

    x = pool(conv('features.0', x, 2))
    for index in (3, 4, 6, 7, 9, 10, 11, 12):
        if index in (6, 9):
            x = pool(x)
        x = conv(f'features.{index}.squeeze', x)
        parts = [conv(f'features.{index}.expand{n}x{n}', x, pad=n // 2) for n in (1, 3)]
        x = np.concatenate(parts, -1)
    return x.mean((1, 2))


def check(found, expected):
    scale = np.abs(expected).max()
    assert scale > 1e-3
    np.testing.assert_allclose(found, expected, 1e-5, 1e-5 * scale)


def test_squeezenet_equals_the_layers_of_torchvision(monkeypatch):
    state, pixels = squeezenet_state(), images(39)
    monkeypatch.setattr(torch_file, '_read', lambda path: state)
    found = features('squeezenet', {}, pixels, 'squeezenet.pth')
    check(found, squeezenet_reference(state, pixels))


@pytest.mark.extended
@pytest.mark.parametrize('name', NETWORKS)
@pytest.mark.parametrize('extension', ['.pth', '.safetensors'])
def test_outputs_equal_those_of_torchvision(name, extension, tmp_path):
    torch = pytest.importorskip('torch')
    models = pytest.importorskip('torchvision').models
    network, options = NETWORKS[name]
    if network == 'pretrained':
        needs_keras()
    torch.manual_seed(0)
    model = getattr(models, 'squeezenet1_1' if name == 'squeezenet' else name)()
    state = model.state_dict()
    for key, value in state.items():  # Averages as after training.
        if key.endswith('running_mean'):
            value.normal_(0, 0.1)
        elif key.endswith('running_var'):
            value.uniform_(0.5, 1.5)
    path = str(tmp_path / f'{name}{extension}')
    if extension == '.pth':
        torch.save(state, path)
    else:
        pytest.importorskip('safetensors.torch').save_file(state, path)
    # torchvision's poolings use incomplete windows, which this size does not have.
    pixels = images(63 if name == 'squeezenet' else 64)
    mean, stddev = torchvision_layout.MEAN, torchvision_layout.STDDEV
    normalized = ((pixels / 255.0 - mean) / stddev).transpose(0, 3, 1, 2)
    given = torch.tensor(normalized, dtype=torch.float32)
    model.eval()
    with torch.no_grad():
        if name == 'resnet50':
            model.fc = torch.nn.Identity()
            expected = model(given)
        else:
            expected = model.features(given).mean((2, 3))
    check(features(network, options, pixels, path), expected.numpy())


@pytest.mark.combinations
@pytest.mark.parametrize('name', NETWORKS)
def test_every_layer_with_weights_has_a_module(name):
    network, options = NETWORKS[name]
    if network == 'pretrained':
        needs_keras()
    published = registry.published(network, options)
    expected = {layer.name for layer in published.layers if layer.weights}
    assert set(published.torch.modules.values()) == expected
    assert len(published.torch.modules) == len(expected)


def read(path, options=None):
    published = registry.published('squeezenet', options or {})
    return torch_file.read_layers(str(path), published.torch)


def test_a_file_of_another_network_is_refused(monkeypatch):
    state = {'conv1.weight': np.zeros((64, 3, 7, 7), np.float32)}
    monkeypatch.setattr(torch_file, '_read', lambda path: state)
    words = r'does not contain this network.*features\.0\.weight.*has conv1\.weight'
    with pytest.raises(ConfigError, match=words):
        read('resnet.pth')


def test_other_shapes_are_refused(monkeypatch):
    state = squeezenet_state()
    state['features.3.squeeze.weight'] = np.zeros((8, 64, 1, 1), np.float32)
    monkeypatch.setattr(torch_file, '_read', lambda path: state)
    with pytest.raises(ConfigError, match=r"'fire2/squeeze1x1' has .*1, 1, 64, 16"):
        features('squeezenet', {}, images(39), 'squeezenet.pth')


@pytest.mark.parametrize('extension', torch_file.EXTENSIONS)
def test_a_corrupt_file_or_a_missing_package_is_one_sentence(extension, tmp_path):
    path = tmp_path / f'w{extension}'
    with pytest.raises(ConfigError, match='there is no such file'):
        read(path)
    path.write_bytes(b'not weights')
    with pytest.raises(ConfigError, match='cannot be read|requires the package'):
        read(path)


@pytest.mark.parametrize('extension', ['.pth', '.safetensors'])
def test_a_missing_package_is_named(extension, tmp_path, monkeypatch):
    for name in ('torch', 'safetensors'):
        monkeypatch.setitem(sys.modules, name, None)
    path = tmp_path / f'w{extension}'
    path.write_bytes(b'')
    package = 'torch' if extension == '.pth' else 'safetensors'
    with pytest.raises(ConfigError, match=f'requires the package {package}.*pip'):
        read(path)


class _Code:
    """An object whose unpickling would create a file."""

    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return open, (self._path, 'w')


def test_code_in_a_file_is_not_run(tmp_path):
    torch = pytest.importorskip('torch')
    path = tmp_path / 'w.pth'
    torch.save({'a': _Code(str(tmp_path / 'created'))}, path)
    with pytest.raises(ConfigError, match='contains more than tensors'):
        read(path)
    assert not (tmp_path / 'created').exists()


@pytest.mark.parametrize('content', [3, {'a': 1}, {}])
def test_other_contents_are_refused(content, tmp_path):
    torch = pytest.importorskip('torch')
    path = tmp_path / 'w.pth'
    torch.save(content, path)
    with pytest.raises(ConfigError, match='not a state_dict'):
        read(path)


def test_training_checkpoints_and_parallel_models_are_unwrapped(tmp_path):
    torch = pytest.importorskip('torch')
    state = squeezenet_state()
    path = tmp_path / 'w.pth'
    tensors = {f'module.{name}': torch.tensor(a) for name, a in state.items()}
    torch.save({'state_dict': tensors, 'epoch': 3}, path)
    found = read(path)
    np.testing.assert_array_equal(
        found['fire9/expand3x3'][0],
        state['features.12.expand3x3.weight'].transpose(2, 3, 1, 0),
    )


def test_layout_is_for_the_architectures_of_torchvision():
    needs_keras()
    for options, words in (
        ({'name': 'VGG16', 'layout': 'torchvision'}, 'layout=torchvision is for'),
        ({'layout': 'torch'}, 'There are: keras, torchvision'),
    ):
        with pytest.raises(SettingError, match=words):
            registry.published('pretrained', options)
    hint = registry.published('pretrained', {'name': 'ResNet50'}).torch_hint
    assert 'pretrained(name=ResNet50, layout=torchvision)' in hint
    hint = registry.published('pretrained', {'name': 'VGG16'}).torch_hint
    assert 'exists for MobileNetV2, ResNet50 only' in hint
