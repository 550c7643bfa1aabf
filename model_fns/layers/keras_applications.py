"""The published architectures of Keras: what they are made of, not their layers.

Only here is Keras 2 imported: the package `tf_keras`, or on TensorFlow 2.15 the Keras
that it comes with. Its models are made to be read (`functional.py`) and thrown away.
"""

import concurrent.futures
import functools
import importlib
import importlib.metadata
import inspect
import math
import sys

import numpy as np
import tensorflow as tf

from estimator_clf.core import errors

v1 = tf.compat.v1


@functools.cache
def keras():
    """Imports Keras 2.

    Raises:
        SettingError: it is not there.
    """
    # Never both: they register the same names.
    try:
        version = importlib.metadata.version('keras')
    except importlib.metadata.PackageNotFoundError:
        version = ''
    name = 'keras' if version.startswith('2.') else 'tf_keras'
    try:
        return importlib.import_module(name)
    except ImportError as error:
        minor = '.'.join(tf.__version__.split('.')[:2])
        raise errors.SettingError(
            f"`network=pretrained` needs Keras 2: pip install 'tf_keras=={minor}.*' "
            f'({error})'
        ) from None


def names() -> list[str]:
    """The names of the architectures."""
    module = keras().applications
    return sorted(n for n in dir(module) if inspect.isfunction(getattr(module, n)))


@functools.lru_cache(maxsize=8)
def config(
    name: str, shape: tuple, alpha: float = 1.0, top: bool = False, imagenet=False
):
    """The configuration of an architecture.

    Args:
        name: one of `names()`.
        shape: (height, width, 3) of the images.
        alpha: width of the MobileNets.
        top: with the layers of its classifier, all but the last.
        imagenet: as it is with the weights for ImageNet.

    Returns:
        dict, what `get_config` of the model returns.

    Raises:
        SettingError: no such architecture, or it cannot be made so.
    """
    model = _apart(lambda: _model(name, shape, alpha, top, None).get_config())
    if top:
        *model['layers'], last = model['layers']
        if last['class_name'] != 'Dense':
            raise errors.SettingError(
                f'top must be false for {name}: its last layer is no dense one'
            )
        model['output_layers'] = [last['inbound_nodes'][0][0][:3]]
    if imagenet:
        _rescale(model, _builder(name))
    return model


def preprocessing(name: str):
    """What the architecture wants done with pixels, as one affine function.

    Found by asking Keras's own function, so that it cannot differ from it: all of them
    multiply and add, and some exchange red and blue.

    Args:
        name: of the architecture.

    Returns:
        (order of the channels, scale, offset), each of three numbers: input c of the
        network is `scale[c] * pixel[order[c]] + offset[c]`.
    """
    function = sys.modules[_builder(name).__module__].preprocess_input
    probes = np.zeros((4, 1, 1, 3), np.float32)
    probes[1:, 0, 0, :] = 255.0 * np.eye(3, dtype=np.float32)
    found = np.asarray(function(probes), np.float64)[:, 0, 0, :]
    slopes = (found[1:] - found[0]) / 255.0
    order = np.argmax(np.abs(slopes), axis=0)
    scale = slopes[order, np.arange(3)]
    return order.tolist(), scale.tolist(), found[0].tolist()


def imagenet_weights(name: str, alpha: float = 1.0, top: bool = False) -> dict:
    """Takes the weights for ImageNet from Keras's cache, or lets Keras fetch them.

    Returns:
        dict name of the layer -> list of arrays.

    Raises:
        SettingError: Keras could not; its reason is in the message.
    """

    def read():
        model = _model(name, (224, 224, 3) if top else None, alpha, top, 'imagenet')
        return {layer.name: layer.get_weights() for layer in _flat(model)}

    try:
        return _apart(read)
    except errors.SettingError:
        raise
    except Exception as error:  # Whatever Keras, urllib and h5py raise.
        raise errors.SettingError(
            f'`network_args`: weights=imagenet: Keras has no weights of {name} in its '
            f'cache and could not fetch them ({error}). Give a file (weights=PATH), or '
            'weights=none to begin fresh'
        ) from None


def _flat(model):
    for layer in model.layers:
        yield from _flat(layer) if hasattr(layer, 'layers') else [layer]


def _apart(function):
    """Runs something eagerly, outside of any graph, strategy or scope."""
    # What is around, a thread has around it for itself alone; Keras's count of the
    # layers, too, by which it calls those without a name.
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def _builder(name):
    if name not in names():
        raise errors.unknown('network_args', 'architecture', name, names())
    return getattr(keras().applications, name)


def _model(name, shape, alpha, top, weights):
    build = _builder(name)
    options = {'include_top': top, 'weights': weights, 'input_shape': shape}
    if alpha != 1.0:
        if 'alpha' not in inspect.signature(build).parameters:
            raise errors.SettingError(f'{name} has no alpha; it is for MobileNets')
        options['alpha'] = alpha
    try:
        return build(**options)
    except ValueError as error:
        if weights:
            raise
        raise errors.SettingError(f'{name}: {error}') from None


def _rescale(model, builder):
    """Puts in a layer that EfficientNet has with the weights for ImageNet only.

    They were trained on `(x - mean) / variance`, and Keras divides by its root.
    """
    module = sys.modules[builder.__module__]
    if module.__name__.rpartition('.')[2] != 'efficientnet':
        return
    scale = [1.0 / math.sqrt(stddev) for stddev in module.IMAGENET_STDDEV_RGB]
    layers = model['layers']
    place = next(
        i for i, layer in enumerate(layers) if layer['class_name'] == 'Normalization'
    )
    before = layers[place]['name']
    for layer in layers[place + 1 :]:
        nodes = layer['inbound_nodes'][0]
        for node in [nodes] if isinstance(nodes[0], str) else nodes:
            if node[0] == before:
                node[0] = 'imagenet_rescaling'
    settings = {'name': 'imagenet_rescaling', 'scale': scale, 'offset': 0.0}
    layers.insert(
        place + 1,
        {
            'class_name': 'Rescaling',
            'name': 'imagenet_rescaling',
            'config': settings,
            'inbound_nodes': [[[before, 0, 0, {}]]],
        },
    )
