"""Keras files in all layouts, mapped to the variables of a network."""

from typing import NamedTuple

import h5py
import numpy as np
import pytest

from estimator_clf.core.errors import ConfigError
from estimator_clf.warm_start.keras_file import KerasFile
from estimator_clf.warm_start.keras_layer_mapping import map_by_layer


class Layer(NamedTuple):
    name: str
    kind: str
    weights: tuple


NORM = ('gamma', 'beta', 'moving_mean', 'moving_variance')
LAYERS = (
    Layer('input_1', 'InputLayer', ()),
    Layer('norm', 'Normalization', ('mean', 'variance', 'count')),
    Layer('conv1', 'Conv2D', ('kernel',)),
    Layer('conv1_bn', 'BatchNormalization', NORM),
    Layer('dw', 'DepthwiseConv2D', ('depthwise_kernel',)),
    Layer('conv2', 'Conv2D', ('kernel', 'bias')),
)
RNG = np.random.default_rng(0)
VALUES = {
    'norm/mean': RNG.random(3),
    'norm/variance': RNG.random(3),
    'norm/count': np.zeros((), np.int64),
    'conv1/kernel': RNG.random((3, 3, 3, 4)),
    **{f'conv1_bn/{weight}': RNG.random(4) for weight in NORM},
    'dw/depthwise_kernel': RNG.random((3, 3, 4, 1)),
    'conv2/kernel': RNG.random((1, 1, 4, 5)),
    'conv2/bias': RNG.random(5),
}
# The network has no count, and one more layer.
SHAPES = {f'net/{k}': v.shape for k, v in VALUES.items() if k != 'norm/count'}
SHAPES['net/logits/kernel'] = (5, 2)


def by_name(file, rename=str, weight='{}/{}:0', top=False):
    """Keras 2's `save_weights('x.h5')`."""
    names = []
    for layer in LAYERS:
        names.append(rename(layer.name))
        group = file.create_group(names[-1])
        found = [weight.format(layer.name, name) for name in layer.weights]
        for name, path in zip(layer.weights, found, strict=True):
            group.create_dataset(path, data=VALUES[f'{layer.name}/{name}'])
        group.attrs['weight_names'] = [path.encode() for path in found]
    if top:
        names.append('predictions')
        group = file.create_group('predictions')
        group.create_dataset('predictions/kernel:0', data=np.zeros((5, 1000)))
        group.attrs['weight_names'] = [b'predictions/kernel:0']
    file.attrs['layer_names'] = [name.encode() for name in names]


def nested(file):
    """As a layer of a larger model: trainable weights first."""
    group = file.create_group('backbone')
    names = sorted(VALUES, key=lambda n: 'moving' in n or 'norm/' in n)
    for name in names:
        group.create_dataset(f'{name}:0', data=VALUES[name])
    group.attrs['weight_names'] = [f'{name}:0'.encode() for name in names]
    file.attrs['layer_names'] = [b'backbone']


def numbered(file):
    """Keras 2's `save_weights('x.weights.h5')`: layers by kind and number."""
    groups = {
        'normalization': 'norm',
        'conv2d': 'conv1',
        'batch_normalization': 'conv1_bn',
        'depthwise_conv2d': 'dw',
        'conv2d_1': 'conv2',
    }
    weights = {layer.name: layer.weights for layer in LAYERS}
    for group, layer in groups.items():
        for number, weight in enumerate(weights[layer]):
            path = f'layers/{group}/vars/{number}'
            file.create_dataset(path, data=VALUES[f'{layer}/{weight}'])


@pytest.mark.parametrize(
    'write',
    [
        by_name,
        lambda file: by_name(file, top=True),
        # Keras numbers layers across models.
        lambda file: by_name(file, rename=lambda name: name + '_7', top=True),
        lambda file: by_name(file, weight='{}_{}_1:0'),
        nested,
        numbered,
    ],
    ids=['by name', 'with its top', 'in order', 'old', 'nested', 'numbered'],
)
def test_layouts(write, tmp_path):
    path = str(tmp_path / 'weights.h5')
    with h5py.File(path, 'w') as file:
        write(file)
    source = map_by_layer(path, KerasFile(path, LAYERS).layers, LAYERS, SHAPES)
    assert source.shapes == {k: v for k, v in SHAPES.items() if 'logits' not in k}
    for name in source.shapes:
        np.testing.assert_array_equal(source.read(name), VALUES[name[4:]])


def refused(shapes, names=None, tmp_path=None):
    path = str(tmp_path / f'{names}.h5')
    with h5py.File(path, 'w') as file:
        by_name(file)
        if names:
            file.attrs['layer_names'] = file.attrs['layer_names'][:names]
    with pytest.raises(ConfigError) as error:
        map_by_layer(path, KerasFile(path, LAYERS).layers, LAYERS, shapes)
    return str(error.value)


def test_file_of_another_network_is_refused(tmp_path):
    wider = {**SHAPES, 'net/dw/depthwise_kernel': (3, 3, 8, 1)}
    text = refused(wider, tmp_path=tmp_path)
    assert (
        "of its 5 layers with weights, 'dw' has [[3, 3, 8, 1]], in the source " in text
    )
    assert '[[3, 3, 4, 1]]' in text
    text = refused(SHAPES, 4, tmp_path)
    assert "'dw' has [[3, 3, 4, 1]], which the source does not have, but norm" in text
