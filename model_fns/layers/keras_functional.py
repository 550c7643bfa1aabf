"""A functional Keras model, built on `LayerBuilder` from its configuration.

Keras's own layers would bring variables of their own, whose names depend on what else
is in the graph, which a second part of a batch or a second replica makes again, and
which know nothing of a seed, of frozen averages or of moving averages of the weights.
Built here, the published architectures are networks like the others.

Only what the published ones (`tf_keras.applications`) are made of is here.
"""

import functools
from typing import NamedTuple

import tensorflow as tf

from estimator_clf.core import errors

v1 = tf.compat.v1


class KerasLayer(NamedTuple):
    """A layer as Keras's files know it.

    Attributes:
        name: of the layer, which is also the scope of its variables here.
        kind: its class, such as 'Conv2D'.
        weights: names of its variables, in Keras's order.
    """

    name: str
    kind: str
    weights: tuple[str, ...]


def layers_of(config: dict) -> tuple[KerasLayer, ...]:
    """Lists the layers of a model, those of models inside of it among them."""
    found = []
    for layer in config['layers']:
        if layer['class_name'] == 'Sequential':
            found.extend(layers_of(layer['config']))
            continue
        kind, settings = layer['class_name'], layer['config']
        found.append(KerasLayer(settings['name'], kind, _weights(kind, settings)))
    return tuple(found)


def run(net, config: dict, images: tf.Tensor) -> tf.Tensor:
    """Sends images through a model with one input and one output.

    Args:
        net: `layers.LayerBuilder`.
        config: what `get_config` of the model returns.
        images: float32 [B, H, W, C].

    Returns:
        The model's output.

    Raises:
        SettingError: a kind of layer that is not known here.
    """
    # A tensor that several layers use must be one object: `net.cut` looks for it.
    values = {}
    for layer in config['layers']:
        kind, settings = layer['class_name'], layer['config']
        name = layer['name']  # Of an op between layers, not that in its settings.
        if kind == 'InputLayer':
            values[name] = images
            continue
        if len(layer['inbound_nodes']) != 1:
            raise errors.SettingError(f'the layer {name!r} of the model is used twice')
        inputs = _inputs(layer['inbound_nodes'][0], values)
        values[name] = _layer(net, kind, settings, inputs)
    return values[config['output_layers'][0][0]]


def _inputs(node, values):
    """The tensors, or numbers, that a layer is called with."""
    found = []
    for name, _, _, others in [node] if isinstance(node[0], str) else node:
        found.append(values[name])
        for other in others.values():
            if isinstance(other, (list, tuple)):
                found.append(values[other[0]])
            elif other is not None:
                found.append(other)
    return found


def _layer(net, kind, settings, inputs):
    if kind not in _KINDS:
        raise errors.SettingError(
            f'layers of the kind {kind} are not known here, such as '
            f'{settings["name"]!r}; there are: {", ".join(sorted(_KINDS))}'
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
    _plain(settings)
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
    return _activated(settings, y)


def _depthwise(net, settings, x, separable=False):
    """With `separable`, a convolution of 1x1 pixels follows."""
    _plain(settings)
    kind = 'SeparableConv2D' if separable else 'DepthwiseConv2D'
    with v1.variable_scope(settings['name']):
        x = net.entered(x, *_weights(kind, settings))
        y = _depthwise_conv(net, settings, x)
        if separable:
            shape = (1, 1, y.shape[-1], settings['filters'])
            kernel = net.variable('pointwise_kernel', shape)
            y = tf.nn.conv2d(y, tf.cast(kernel, y.dtype), 1, 'VALID')
        if settings['use_bias']:
            y = _biased(net, y)
    return _activated(settings, y)


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
        # Of images, it goes over the last axis.
        x if x.shape.rank == 2 else tf.reshape(x, (-1, x.shape[-1])),
        settings['units'],
        settings['use_bias'],
        _initializer(settings['kernel_initializer']),
    )
    if x.shape.rank > 2:
        y = tf.reshape(y, tf.concat([shape[:-1], [settings['units']]], 0))
        y.set_shape((*x.shape[:-1], settings['units']))
    return _activated(settings, y)


def _batch_norm(net, settings, x):
    if not settings['center'] or _axis(settings, x) != x.shape.rank - 1:
        raise errors.SettingError(f'{settings["name"]}: of this kind it is not known')
    return net.batch_norm(
        settings['name'],
        x,
        settings['momentum'],
        settings['epsilon'],
        scale=settings['scale'],
    )


def _layer_norm(net, settings, x):
    with v1.variable_scope(settings['name']):
        x = net.entered(x, 'gamma', 'beta')
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
        x = net.entered(x, 'gamma')
        first = float(settings['init_values'])
        gamma = net.variable('gamma', (settings['projection_dim'],), first)
        return x * tf.cast(gamma, x.dtype)


def _normalization(net, settings, x):
    mean, variance = settings['mean'], settings['variance']
    if mean is None:
        # Constants that are weights to Keras, and lie in its files.
        with v1.variable_scope(settings['name']):
            shape = (x.shape[-1],)
            mean = net.variable('mean', shape, 0.0, trainable=False)
            variance = net.variable('variance', shape, 1.0, trainable=False)
    # 1e-7 is Keras's epsilon.
    return (x - mean) / tf.maximum(tf.sqrt(variance), 1e-7)


def _dropout(net, settings, x):
    noise = settings.get('noise_shape')
    if noise and list(noise[1:]) != [1] * (x.shape.rank - 1):
        raise errors.SettingError(f'{settings["name"]}: unknown shape {noise}')
    # A part that is not trained is to do what it does when it is used.
    if not net.trains:
        return x
    return net.dropout(settings['name'], x, settings['rate'], whole=bool(noise))


def _op_between_layers(net, settings, a, b):
    """Such as `x * 0.5`."""
    ops = {
        '__operators__.add': tf.add,
        'math.add': tf.add,
        'math.multiply': tf.multiply,
    }
    if settings['function'] not in ops:
        raise errors.SettingError(
            f'the op {settings["function"]} between layers is not known here'
        )
    if isinstance(b, tf.Tensor):
        a, b = _alike([a, b])
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
        raise errors.SettingError(f'{settings["name"]}: a leaky ReLU is not known here')
    most = settings['max_value']
    if most is None:
        return tf.nn.relu(x)
    return tf.nn.relu6(x) if most == 6 else tf.minimum(tf.nn.relu(x), most)


def _scaled_sum(net, settings, x, residual):
    # Of InceptionResNetV2.
    x, residual = _alike([x, residual])
    return x + residual * settings['scale']


def _activated(settings, x):
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


def _biased(net, y):
    return tf.nn.bias_add(
        y, tf.cast(net.variable('bias', (y.shape[-1],), 0.0), y.dtype)
    )


def _alike(tensors):
    """Of one type: that of the narrowest, which is what the layers compute in."""
    narrow = min((t.dtype for t in tensors), key=lambda dtype: dtype.size)
    return [tf.cast(t, narrow) for t in tensors]


def _plain(settings):
    if _one(settings.get('dilation_rate', 1)) != 1:
        raise errors.SettingError(f'{settings["name"]}: dilation is not known here')


def _one(value):
    """The number of a pair of the same two."""
    pair = [value, value] if isinstance(value, int) else list(value)
    if len(set(pair)) != 1:
        raise errors.SettingError(f'strides must be the same both ways, got {pair}')
    return pair[0]


def _axis(settings, x):
    axis = settings['axis']
    axis = axis if isinstance(axis, int) else list(axis)[0]
    return axis % x.shape.rank


def _initializer(settings):
    # The variances of Keras's initializers; the distribution is the normal one.
    kind = settings['class_name']
    if kind.startswith('Glorot'):
        return 'glorot_normal'
    return 'lecun_normal' if kind.startswith('Lecun') else 'he_normal'


_KINDS = {
    'Activation': lambda net, settings, x: _activated(settings, x),
    'Add': lambda net, settings, *x: tf.add_n(_alike(x)),
    'AveragePooling2D': functools.partial(_pool, tf.nn.avg_pool2d),
    'BatchNormalization': _batch_norm,
    'Concatenate': lambda net, settings, *x: tf.concat(_alike(x), -1),
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
    'Multiply': lambda net, settings, a, b: tf.multiply(*_alike([a, b])),
    'Normalization': _normalization,
    'ReLU': _relu,
    'Rescaling': _rescaling,
    'Reshape': _reshape,
    'SeparableConv2D': functools.partial(_depthwise, separable=True),
    'Sequential': _sequential,
    'TFOpLambda': _op_between_layers,
    'ZeroPadding2D': _zero_padding,
}
