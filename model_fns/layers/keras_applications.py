"""Configurations, preprocessing and weights of the architectures of Keras.

The only module that imports Keras 2: the package `tf_keras`, or on TensorFlow 2.15 the
Keras that comes with it. Its models are made to read their configurations, which
`keras_functional` builds, and are discarded.
"""

import concurrent.futures
import contextlib
import functools
import importlib
import importlib.metadata
import inspect
import math
import sys
import threading
import unittest.mock
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import tensorflow as tf

from estimator_clf.core import errors
from model_fns.layers.published import FindFile

v1 = tf.compat.v1

_GET_FILE_LOCK = threading.Lock()


@functools.cache
def keras() -> ModuleType:
    """Imports Keras 2.

    Raises:
      SettingError: it is not installed.
    """
    # Never both, because they register the same names.
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
            '`network=pretrained` requires Keras 2: pip install '
            f"'tf_keras=={minor}.*' "
            f'({error})'
        ) from None


def names() -> list[str]:
    """Returns the names of the architectures."""
    module = keras().applications
    return sorted(n for n in dir(module) if inspect.isfunction(getattr(module, n)))


@functools.lru_cache(maxsize=8)
def config(
    name: str,
    shape: tuple[int, ...],
    alpha: float = 1.0,
    top: bool = False,
    imagenet: bool = False,
) -> dict[str, Any]:
    """Returns the configuration of an architecture, as `get_config` of its model does.

    Args:
      name: one of `names()`.
      shape: (height, width, 3) of the images.
      alpha: width multiplier of the MobileNets.
      top: include the layers of its classifier except the last.
      imagenet: the variant with ImageNet weights.

    Raises:
      SettingError: an unknown architecture, or arguments that it does not support.
    """
    model = _run_eagerly(lambda: _model(name, shape, alpha, top, None).get_config())
    if top:
        *model['layers'], last = model['layers']
        if last['class_name'] != 'Dense':
            raise errors.SettingError(
                f'top must be false for {name}: its last layer is not dense'
            )
        model['output_layers'] = [last['inbound_nodes'][0][0][:3]]
    if imagenet:
        _rescale(model, _builder(name))
    return model


def preprocessing(name: str) -> tuple[list[int], list[float], list[float]]:
    """Returns the preprocessing of an architecture as an affine function of pixels.

    Computed by probing Keras's own function, so that the two cannot differ: each one
    multiplies and adds, and some exchange red and blue.

    Args:
      name: of the architecture.

    Returns:
      (order of the channels, scale, offset), each of three numbers: input c of the
      network is `scale[c] * pixel[order[c]] + offset[c]`.
    """
    function = sys.modules[_builder(name).__module__].preprocess_input
    probes = np.zeros((4, 1, 1, 3), np.float32)
    probes[1:, 0, 0, :] = 255.0 * np.eye(3, dtype=np.float32)
    outputs = np.asarray(function(probes), np.float64)[:, 0, 0, :]
    slopes = (outputs[1:] - outputs[0]) / 255.0
    order = np.argmax(np.abs(slopes), axis=0)
    scale = slopes[order, np.arange(3)]
    return order.tolist(), scale.tolist(), outputs[0].tolist()


def imagenet_weights(
    name: str, alpha: float, top: bool, find: FindFile
) -> dict[str, list[np.ndarray]]:
    """Loads ImageNet weights by Keras.

    Args:
      name: of the architecture.
      alpha: width multiplier of the MobileNets.
      top: include its classifier.
      find: returns the path of the file, with the name, the URL and the hash of Keras's
        own tables.

    Returns:
      dict name of the layer -> list of arrays.

    Raises:
      SettingError: Keras has failed; its reason is in the message.
      UserError: of `find`.
    """

    def read():
        with _get_file_by(find):
            shape = (224, 224, 3) if top else None
            model = _model(name, shape, alpha, top, 'imagenet')
        return {layer.name: layer.get_weights() for layer in _flat(model)}

    try:
        return _run_eagerly(read)
    except errors.UserError:
        raise
    except Exception as error:  # Whatever Keras and h5py raise.
        raise errors.SettingError(
            f'`network`: weights=imagenet: Keras could not load weights of {name} '
            f'({error}). Give a file (weights=PATH), or weights=none for random '
            'initial weights'
        ) from None


@contextlib.contextmanager
def _get_file_by(find):
    """Replaces Keras's download, which neither resumes nor explains, by `find`."""
    module = importlib.import_module(f'{keras().__name__}.src.utils.data_utils')

    def get_file(fname=None, origin=None, *_, file_hash=None, md5_hash=None, **__):
        return find(fname, origin, file_hash or md5_hash)

    with _GET_FILE_LOCK, unittest.mock.patch.object(module, 'get_file', get_file):
        yield


def _flat(model):
    for layer in model.layers:
        yield from _flat(layer) if hasattr(layer, 'layers') else [layer]


def _run_eagerly(function: Callable[[], Any]) -> Any:
    """Calls a function eagerly, outside of any graph, strategy or scope."""
    # These are thread-local, and so is Keras's counter for layers without a name.
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def _builder(name):
    if name not in names():
        raise errors.unknown('network', 'architecture', name, names())
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
    """Inserts a layer that EfficientNet has with ImageNet weights only.

    The weights were trained on `(x - mean) / variance`, and Keras divides by the root
    of the variance.
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
