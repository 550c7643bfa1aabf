"""Finds the layers of a network in its graph, and names them."""

import dataclasses
import os

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import tensorflow as tf

from estimator_clf.core.errors import ConfigError
from model_fns.optimizers import ema

v1 = tf.compat.v1

# Ops that are a layer of their own where no scope of variables holds them. All others
# (reshaping, padding, casting) are steps on the way.
_KINDS = {
    'Relu': 'relu',
    'Relu6': 'relu6',
    'LeakyRelu': 'leaky_relu',
    'Elu': 'elu',
    'Selu': 'selu',
    'Tanh': 'tanh',
    'Sigmoid': 'sigmoid',
    'Softplus': 'softplus',
    'MaxPool': 'pool',
    'AvgPool': 'pool',
    'LRN': 'lrn',
    'Mean': 'mean',
    'AddV2': 'add',
    'ConcatV2': 'concat',
}
_WITH_WEIGHTS = ('Conv2D', 'DepthwiseConv2dNative', 'MatMul', 'BiasAdd')


@dataclasses.dataclass(frozen=True)
class Layer:
    """What a layer hands on.

    Attributes:
      name: 'conv1' for what the scope `conv1` of the network's variables computes,
        'conv1/relu' for the activation behind it.
      tensor: floating [B, units] or [B, H, W, channels].
    """

    name: str
    tensor: tf.Tensor

    @property
    def file_name(self):
        """Its name, in which a path would not see directories."""
        return self.name.replace('/', '-')

    @property
    def units(self):
        """Number of its units or channels."""
        return self.tensor.shape[-1]

    def __str__(self):
        return f'{self.name} [{" x ".join(map(str, self.tensor.shape[1:]))}]'


def find_layers(image, logits, variables):
    """Returns every layer between pixels and logits, in the order of the graph.

    Any network will do, as long as its variables lie in a scope for the network and one
    for each layer, as `tf.compat.v1.variable_scope` makes them.

    Args:
      image: tensor, the pixels.
      logits: tensor that is made of them.
      variables: of the network.

    Returns:
      dict name -> `Layer`.
    """
    with_weights = set(map(scope_of, variables))
    root = common_scope(variables)
    prefix = root + '/' if root else ''
    ways = _behind(image.op) & _before(logits.op)
    found, bases = {}, {}
    for op in image.graph.get_operations():
        if op not in ways or op is image.op:
            continue
        before = (bases.get(i.op) for i in op.inputs)
        bases[op] = base = next((name for name in before if name), None)
        scope = os.path.dirname(op.name)
        if not op.name.startswith(prefix) or not op.outputs or not _fits(op.outputs[0]):
            continue
        if scope in with_weights and scope != root:
            bases[op] = name = scope.removeprefix(prefix)
            found.pop(name, None)  # The last op of a scope stands for it.
        elif scope != root and base:  # As of GELU, which takes several ops.
            kind = os.path.basename(scope).rstrip('_0123456789').lower()
            name = f'{base}/{kind}'
            found.pop(name, None)
        elif op.type in _KINDS and base:
            name = _unused(f'{base}/{_KINDS[op.type]}', found)
        elif op.type in _WITH_WEIGHTS:
            bases[op] = name = op.name.removeprefix(prefix)
        else:
            continue
        found[name] = Layer(name, op.outputs[0])
    return found


def scope_of(variable):
    """Returns the scope that holds a variable, and so the layer that it belongs to."""
    # A moving average is called after its variable.
    return os.path.dirname(variable.op.name.removesuffix(ema.SUFFIX))


def common_scope(variables):
    """Returns the outermost scope that all variables are in; '' if there is none."""
    roots = {variable.op.name.partition('/')[0] for variable in variables}
    return roots.pop() if len(roots) == 1 else ''


def choose_layer(layers, name, unit=None):
    """Looks a layer up.

    Args:
      layers: dict name -> `Layer`.
      name: as a person wrote it.
      unit: number of a unit or channel that it must have; None: none wanted.

    Returns:
      `Layer`.

    Raises:
      ConfigError: there is no such layer or unit; the message lists those there are.
    """
    if name not in layers:
        listed = '\n'.join(f'  {layer}' for layer in layers.values())
        raise ConfigError(
            f'`layer` must be a layer of the network, got {name!r}; there '
            f'are:\n{listed}'
        )
    layer = layers[name]
    if unit is not None and not 0 <= unit < layer.units:
        raise ConfigError(
            f'`unit` must be from 0 to {layer.units - 1}, the units of {layer}, got '
            f'{unit}'
        )
    return layer


def _fits(tensor):
    shape = tensor.shape
    return tensor.dtype.is_floating and shape.rank in (2, 4) and None not in shape[1:]


def _unused(name, found):
    number, free = 1, name
    while free in found:
        number += 1
        free = f'{name}{number}'
    return free


def _behind(op):
    """All ops that depend on one, itself among them."""
    seen, waiting = {op}, [op]
    while waiting:
        for tensor in waiting.pop().outputs:
            new = set(tensor.consumers()) - seen
            seen |= new
            waiting.extend(new)
    return seen


def _before(op):
    """All ops that one depends on, itself among them."""
    seen, waiting = {op}, [op]
    while waiting:
        new = {tensor.op for tensor in waiting.pop().inputs} - seen
        seen |= new
        waiting.extend(new)
    return seen
