"""Finds and names the layers of a network in its graph."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from estimator_clf.core.errors import ConfigError
from model_fns.optimizers import ema

v1 = tf.compat.v1

# Ops that count as a layer outside of the scopes of variables. Others (reshaping,
# padding, casting) do not.
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
    """Output of a layer.

    Attributes:
      name: 'conv1' for the output of the variable scope `conv1`, 'conv1/relu' for the
        activation after it.
      tensor: floating [B, units] or [B, H, W, channels].
    """

    name: str
    tensor: tf.Tensor

    @property
    def file_name(self) -> str:
        """Name without path separators."""
        return self.name.replace('/', '-')

    @property
    def units(self) -> int:
        """Number of units or channels."""
        return self.tensor.shape[-1]

    def __str__(self) -> str:
        return f'{self.name} [{" x ".join(map(str, self.tensor.shape[1:]))}]'


def find_layers(
    image: tf.Tensor, logits: tf.Tensor, variables: Sequence[Any]
) -> dict[str, Layer]:
    """Returns the layers between pixels and logits by name, in the order of the graph.

    The variables must be in one scope for the network and one per layer, as
    `tf.compat.v1.variable_scope` creates them.

    Args:
      image: the pixels.
      logits: tensor that depends on them.
      variables: of the network.
    """
    with_weights = set(map(scope_of, variables))
    root = common_scope(variables)
    prefix = root + '/' if root else ''
    between = _descendants(image.op) & _ancestors(logits.op)
    found: dict[str, Layer] = {}
    bases: dict[Any, str | None] = {}
    for op in image.graph.get_operations():
        if op not in between or op is image.op:
            continue
        inputs = (bases.get(i.op) for i in op.inputs)
        bases[op] = base = next((name for name in inputs if name), None)
        scope = os.path.dirname(op.name)
        if (
            not op.name.startswith(prefix)
            or not op.outputs
            or not _is_layer(op.outputs[0])
        ):
            continue
        if scope in with_weights and scope != root:
            bases[op] = name = scope.removeprefix(prefix)
            found.pop(name, None)  # The last op of a scope is its output.
        elif scope != root and base:  # Such as GELU, which has several ops.
            kind = os.path.basename(scope).rstrip('_0123456789').lower()
            name = f'{base}/{kind}'
            found.pop(name, None)
        elif op.type in _KINDS and base:
            name = _unique(f'{base}/{_KINDS[op.type]}', found)
        elif op.type in _WITH_WEIGHTS:
            bases[op] = name = op.name.removeprefix(prefix)
        else:
            continue
        found[name] = Layer(name, op.outputs[0])
    return found


def scope_of(variable: Any) -> str:
    """Returns the scope of a variable, which identifies its layer."""
    # EMA weights are named after their variable.
    return os.path.dirname(variable.op.name.removesuffix(ema.SUFFIX))


def common_scope(variables: Sequence[Any]) -> str:
    """Returns the outermost scope shared by all variables; '' if there is none."""
    roots = {variable.op.name.partition('/')[0] for variable in variables}
    return roots.pop() if len(roots) == 1 else ''


def get_layer(layers: Mapping[str, Layer], name: str, unit: int | None = None) -> Layer:
    """Looks up a layer by name.

    Args:
      layers: layers by name.
      name: name given by the user.
      unit: unit or channel that must exist, or None.

    Raises:
      ConfigError: the layer or unit does not exist; the message lists valid ones.
    """
    if name not in layers:
        listed = '\n'.join(f'  {layer}' for layer in layers.values())
        raise ConfigError(
            f'`layer` must be a layer of the network, got {name!r}; valid layers:\n'
            f'{listed}'
        )
    layer = layers[name]
    if unit is not None and not 0 <= unit < layer.units:
        raise ConfigError(
            f'`unit` must be from 0 to {layer.units - 1}, the units of {layer}, '
            f'got {unit}'
        )
    return layer


def _is_layer(tensor: tf.Tensor) -> bool:
    shape = tensor.shape
    return tensor.dtype.is_floating and shape.rank in (2, 4) and None not in shape[1:]


def _unique(name: str, found: Mapping[str, Layer]) -> str:
    number, free = 1, name
    while free in found:
        number += 1
        free = f'{name}{number}'
    return free


def _descendants(op: Any) -> set[Any]:
    """Returns the ops that depend on an op, and the op itself."""
    seen, waiting = {op}, [op]
    while waiting:
        for tensor in waiting.pop().outputs:
            new = set(tensor.consumers()) - seen
            seen |= new
            waiting.extend(new)
    return seen


def _ancestors(op: Any) -> set[Any]:
    """Returns the ops that an op depends on, and the op itself."""
    seen, waiting = {op}, [op]
    while waiting:
        new = {tensor.op for tensor in waiting.pop().inputs} - seen
        seen |= new
        waiting.extend(new)
    return seen
