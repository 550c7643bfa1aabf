"""Functional Keras models, built on `LayerBuilder` from their configurations.

The variables of Keras's own layers have names that depend on the rest of the graph, are
made again for a second micro-batch or replica, and support neither seeds nor frozen
averages nor EMA weights. Built here, the published architectures are networks like the
others.

Supports the layers of the published architectures (`tf_keras.applications`) only.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from estimator_clf.core import errors
from model_fns.layers.layer_builder import LayerBuilder

v1 = tf.compat.v1


class KerasLayer(NamedTuple):
    """A layer in Keras's weight files.

    Attributes:
      name: of the layer, which is also the scope of its variables here.
      kind: its class, such as 'Conv2D'.
      weights: names of its variables, in Keras's order.
    """

    name: str
    kind: str
    weights: tuple[str, ...]


def layers_of(config: dict[str, Any]) -> tuple[KerasLayer, ...]:
    """Lists the layers of a model, including those of nested models."""
    layers: list[KerasLayer] = []
    for layer in config['layers']:
        if layer['class_name'] == 'Sequential':
            layers.extend(layers_of(layer['config']))
            continue
        kind, settings = layer['class_name'], layer['config']
        layers.append(KerasLayer(settings['name'], kind, _weights(kind, settings)))
    return tuple(layers)


def run(net: LayerBuilder, config: dict[str, Any], images: tf.Tensor) -> tf.Tensor:
    """Builds a model with one input and one output.

    Args:
      net: the layers.
      config: of the model, from its `get_config`.
      images: float32 [B, H, W, C].

    Returns:
      The output of the model.

    Raises:
      SettingError: a layer that is not supported.
    """
    # A tensor that several layers use must be one object: `net.split` compares it.
    values = {}
    for layer in config['layers']:
        kind, settings = layer['class_name'], layer['config']
        name = layer['name']  # Of an op between layers another than in its settings.
        if kind == 'InputLayer':
            values[name] = images
            continue
        if len(layer['inbound_nodes']) != 1:
            raise errors.SettingError(f'the layer {name!r} of the model is used twice')
        inputs = _inputs(layer['inbound_nodes'][0], values)
        values[name] = _layer(net, kind, settings, inputs)
    return values[config['output_layers'][0][0]]


def _inputs(node, values):
    """Returns the tensors, or numbers, that a layer is called with."""
    inputs = []
    for name, _, _, others in [node] if isinstance(node[0], str) else node:
        inputs.append(values[name])
        for other in others.values():
            if isinstance(other, (list, tuple)):
                inputs.append(values[other[0]])
            elif other is not None:
                inputs.append(other)
    return inputs


def _layer(net, kind, settings, inputs):
    if kind not in _KINDS:
        raise errors.SettingError(
            f'the layer {settings["name"]!r} has the unsupported type {kind}; '
            f'supported are: {", ".join(sorted(_KINDS))}'
        )
    return _KINDS[kind](net, settings, *inputs)


def _weights(kind, settings):
    bias = ('bias',) if settings.get('use_bias') else ()
    if kind == 'DepthwiseConv2D':
        return ('depthwise_kernel', *bias)
    if kind == 'SeparableConv2D':
        return ('depthwise_kernel', 'pointwise_kernel', *bias)
    if kind in ('Conv2D', 'Dense'):
        return ('kernel', *bias)
    if kind == 'BatchNormalization':
        gamma = ('gamma',) if settings['scale'] else ()
        return (*gamma, 'beta', 'moving_mean', 'moving_variance')
    if kind == 'LayerNormalization':
        return ('gamma', 'beta')
    if kind == 'LayerScale':
        return ('gamma',)
    if kind == 'Normalization' and settings['mean'] is None:
        return ('mean', 'variance', 'count')
    return ()


def _conv(net, settings, x):
    _refuse_dilation(settings)
    y = net.conv(
        settings['name'],
        x,
        settings['filters'],
        tuple(settings['kernel_size']),
        _one(settings['strides']),
        settings['padding'],
        settings['use_bias'],
        _initializer(settings['kernel_initializer']),
        settings.get('groups', 1),
    )
    return _activate(settings, y)


def _depthwise(net, settings, x, separable=False):
    """Depthwise convolution; if `separable`, followed by a pointwise one."""
    _refuse_dilation(settings)
    kind = 'SeparableConv2D' if separable else 'DepthwiseConv2D'
    with v1.variable_scope(settings['name']):
        x = net.layer_input(x, *_weights(kind, settings))
        y = _depthwise_conv(net, settings, x)
        if separable:
            shape = (1, 1, y.shape[-1], settings['filters'])
            kernel = net.variable('pointwise_kernel', shape)
            y = tf.nn.conv2d(y, tf.cast(kernel, y.dtype), 1, 'VALID')
        if settings['use_bias']:
            y = _add_bias(net, y)
    return _activate(settings, y)


def _depthwise_conv(net, settings, x):
    height, width = settings['kernel_size']
    shape = (height, width, x.shape[-1], settings['depth_multiplier'])
    fans = (height * width, height * width * settings['depth_multiplier'])
    kernel = net.variable('depthwise_kernel', shape, fans=fans)
    strides = _one(settings['strides'])
    return tf.nn.depthwise_conv2d(
        tf.cast(x, net.compute_dtype),
        tf.cast(kernel, net.compute_dtype),
        (1, strides, strides, 1),
        settings['padding'].upper(),
    )


def _dense(net, settings, x):
    shape = tf.shape(x)
    y = net.dense(
        settings['name'],
        # Applied to the last axis of images.
        x if x.shape.rank == 2 else tf.reshape(x, (-1, x.shape[-1])),
        settings['units'],
        settings['use_bias'],
        _initializer(settings['kernel_initializer']),
    )
    if x.shape.rank > 2:
        y = tf.reshape(y, tf.concat([shape[:-1], [settings['units']]], 0))
        y.set_shape((*x.shape[:-1], settings['units']))
    return _activate(settings, y)


def _batch_norm(net, settings, x):
    if not settings['center'] or _axis(settings, x) != x.shape.rank - 1:
        raise errors.SettingError(
            f'{settings["name"]}: batch normalization must have a center and the last '
            'axis'
        )
    return net.batch_norm(
        settings['name'],
        x,
        settings['momentum'],
        settings['epsilon'],
        scale=settings['scale'],
    )


def _layer_norm(net, settings, x):
    with v1.variable_scope(settings['name']):
        x = net.layer_input(x, 'gamma', 'beta')
        gamma = net.variable('gamma', (x.shape[-1],), 1.0)
        beta = net.variable('beta', (x.shape[-1],), 0.0)
        wide = tf.cast(x, tf.float32)
        mean, variance = tf.nn.moments(wide, [-1], keepdims=True)
        y = tf.nn.batch_normalization(
            wide, mean, variance, beta, gamma, settings['epsilon']
        )
        return tf.cast(y, x.dtype)


def _layer_scale(net, settings, x):
    with v1.variable_scope(settings['name']):
        x = net.layer_input(x, 'gamma')
        first = float(settings['init_values'])
        gamma = net.variable('gamma', (settings['projection_dim'],), first)
        return x * tf.cast(gamma, x.dtype)


def _normalization(net, settings, x):
    mean, variance = settings['mean'], settings['variance']
    if mean is None:
        # Constants that Keras counts and saves as weights.
        with v1.variable_scope(settings['name']):
            shape = (x.shape[-1],)
            mean = net.variable('mean', shape, 0.0, trainable=False)
            variance = net.variable('variance', shape, 1.0, trainable=False)
    # 1e-7 is the epsilon of Keras.
    return (x - mean) / tf.maximum(tf.sqrt(variance), 1e-7)


def _dropout(net, settings, x):
    noise = settings.get('noise_shape')
    if noise and list(noise[1:]) != [1] * (x.shape.rank - 1):
        raise errors.SettingError(
            f'{settings["name"]}: unsupported noise shape {noise}'
        )
    # The frozen backbone computes in training as it does in inference.
    if not net.has_trainable:
        return x
    return net.dropout(settings['name'], x, settings['rate'], per_example=bool(noise))


def _op_between_layers(net, settings, a, b):
    """Op outside of a layer, such as `x * 0.5`."""
    ops = {
        '__operators__.add': tf.add,
        'math.add': tf.add,
        'math.multiply': tf.multiply,
    }
    if settings['function'] not in ops:
        raise errors.SettingError(
            f'the op {settings["function"]} between layers is not supported'
        )
    if isinstance(b, tf.Tensor):
        a, b = _common_dtype([a, b])
    return ops[settings['function']](a, b)


def _sequential(net, settings, x):
    for layer in settings['layers']:
        if layer['class_name'] != 'InputLayer':
            x = _layer(net, layer['class_name'], layer['config'], [x])
    return x


def _zero_padding(net, settings, x):
    return tf.pad(x, [[0, 0], *settings['padding'], [0, 0]])


def _cropping(net, settings, x):
    (top, bottom), (left, right) = settings['cropping']
    return x[:, top : x.shape[1] - bottom, left : x.shape[2] - right, :]


def _pool(op, net, settings, x):
    return op(
        x, settings['pool_size'], settings['strides'], settings['padding'].upper()
    )


def _global_pool(op, net, settings, x):
    y = tf.cast(op(tf.cast(x, tf.float32), axis=(1, 2)), x.dtype)
    return y[:, tf.newaxis, tf.newaxis, :] if settings.get('keepdims') else y


def _reshape(net, settings, x):
    return tf.reshape(x, (-1, *settings['target_shape']))


def _rescaling(net, settings, x):
    return x * tf.constant(settings['scale'], x.dtype) + settings['offset']


def _relu(net, settings, x):
    if settings['negative_slope'] or settings['threshold']:
        raise errors.SettingError(f'{settings["name"]}: a leaky ReLU is not supported')
    limit = settings['max_value']
    if limit is None:
        return tf.nn.relu(x)
    return tf.nn.relu6(x) if limit == 6 else tf.minimum(tf.nn.relu(x), limit)


def _scaled_sum(net, settings, x, residual):
    # Of InceptionResNetV2.
    x, residual = _common_dtype([x, residual])
    return x + residual * settings['scale']


def _activate(settings, x):
    known = {
        'linear': tf.identity,
        'relu': tf.nn.relu,
        'swish': tf.nn.silu,
        'silu': tf.nn.silu,
        'sigmoid': tf.nn.sigmoid,
        'gelu': tf.nn.gelu,
        'softmax': tf.nn.softmax,
    }
    name = settings['activation']
    if name not in known:
        raise errors.unknown('activation', 'activation', name, known)
    return x if name == 'linear' else known[name](x)


def _add_bias(net, y):
    return tf.nn.bias_add(
        y, tf.cast(net.variable('bias', (y.shape[-1],), 0.0), y.dtype)
    )


def _common_dtype(tensors):
    """Casts tensors to the narrowest dtype, which is the layers' compute dtype."""
    narrowest = min((t.dtype for t in tensors), key=lambda dtype: dtype.size)
    return [tf.cast(t, narrowest) for t in tensors]


def _refuse_dilation(settings):
    if _one(settings.get('dilation_rate', 1)) != 1:
        raise errors.SettingError(f'{settings["name"]}: dilation is not supported')


def _one(value):
    """Returns the number of a pair of two equal ones."""
    pair = [value, value] if isinstance(value, int) else list(value)
    if len(set(pair)) != 1:
        raise errors.SettingError(
            f'strides must be the same in both directions, got {pair}'
        )
    return pair[0]


def _axis(settings, x):
    axis = settings['axis']
    axis = axis if isinstance(axis, int) else list(axis)[0]
    return axis % x.shape.rank


def _initializer(settings):
    # The variances of Keras's initializers; the distribution is always normal.
    kind = settings['class_name']
    if kind.startswith('Glorot'):
        return 'glorot_normal'
    return 'lecun_normal' if kind.startswith('Lecun') else 'he_normal'


_KINDS: dict[str, Callable] = {
    'Activation': lambda net, settings, x: _activate(settings, x),
    'Add': lambda net, settings, *x: tf.add_n(_common_dtype(x)),
    'AveragePooling2D': functools.partial(_pool, tf.nn.avg_pool2d),
    'BatchNormalization': _batch_norm,
    'Concatenate': lambda net, settings, *x: tf.concat(_common_dtype(x), -1),
    'Conv2D': _conv,
    'Cropping2D': _cropping,
    'CustomScaleLayer': _scaled_sum,
    'Dense': _dense,
    'DepthwiseConv2D': _depthwise,
    'Dropout': _dropout,
    'Flatten': lambda net, settings, x: net.flatten(x),
    'GlobalAveragePooling2D': functools.partial(_global_pool, tf.reduce_mean),
    'GlobalMaxPooling2D': functools.partial(_global_pool, tf.reduce_max),
    'LayerNormalization': _layer_norm,
    'LayerScale': _layer_scale,
    'MaxPooling2D': functools.partial(_pool, tf.nn.max_pool2d),
    'Multiply': lambda net, settings, a, b: tf.multiply(*_common_dtype([a, b])),
    'Normalization': _normalization,
    'ReLU': _relu,
    'Rescaling': _rescaling,
    'Reshape': _reshape,
    'SeparableConv2D': functools.partial(_depthwise, separable=True),
    'Sequential': _sequential,
    'TFOpLambda': _op_between_layers,
    'ZeroPadding2D': _zero_padding,
}
