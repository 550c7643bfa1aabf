"""Maps the layers of a Keras file to the variables of a published architecture.

Keras's files name the layers, or number them, or name them otherwise than today's
architecture (InceptionV3's counts from `conv2d_1`); and the names of the weights in
them have changed over the years (`block1_conv1_W_1`). Keras itself matches by the order
of the layers and of the weights in a layer; so does this, if the names do not match.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from estimator_clf.config.warm_start_rules import listed
from estimator_clf.core.errors import ConfigError


class LayerWeights(Protocol):
    """A layer of the network.

    Attributes:
      name: such as 'block1_conv1'.
      weights: names such as 'kernel', in Keras's order.
    """

    @property
    def name(self) -> str: ...

    @property
    def weights(self) -> Sequence[str]: ...


class KerasLayerMapping:
    """A source whose weights have the names of the network's variables.

    Attributes:
      path: of the source.
      shapes: shapes by name.
    """

    has_slots = False

    def __init__(self, path: str, arrays: Mapping[str, Any]) -> None:
        """Makes the source.

        Args:
          path: for messages.
          arrays: arrays, or HDF5 datasets, by name of the variable.
        """
        self.path = path
        self._arrays = arrays
        self.shapes = {name: tuple(a.shape) for name, a in arrays.items()}

    def read(self, name: str) -> np.ndarray:
        """Returns the value of a weight."""
        return np.asarray(self._arrays[name])


def map_by_layer(
    path: str,
    source_layers: Mapping[str, Sequence[Any]],
    layers: Iterable[LayerWeights],
    variables: Mapping[str, tuple[int | None, ...]],
) -> KerasLayerMapping:
    """Maps the layers of a source to those of a network.

    By name, if all layers have the same names and shapes; otherwise by their order, if
    the shapes match. Layers of the source after the last of the network, its
    classifier, are ignored.

    Args:
      path: of the source, for messages.
      source_layers: arrays by name of the layer, in the source's order.
      layers: in the network's order.
      variables: shapes of the network's variables by name, all in one scope.

    Raises:
      ConfigError: the source does not contain all layers.
    """
    scope = next(iter(variables)).partition('/')[0]
    required = {}
    for layer in layers:
        names = [f'{scope}/{layer.name}/{weight}' for weight in layer.weights]
        # None for what is not a variable of the network, such as a count of batches.
        shapes = [variables.get(name) for name in names]
        if any(shapes):
            required[layer.name] = list(zip(names, shapes, strict=True))
    if not required:
        raise ConfigError(f'`warm_start={path}`: the network has no Keras layers')
    named = [
        (source_layers.get(name, []), weights) for name, weights in required.items()
    ]
    in_order = list(zip(source_layers.values(), required.values(), strict=False))
    for pairs in (named, in_order):
        if len(pairs) == len(required) and all(_fit(*pair) for pair in pairs):
            arrays = {
                name: array
                for found, weights in pairs
                for array, (name, shape) in zip(found, weights, strict=True)
                if shape is not None
            }
            return KerasLayerMapping(path, arrays)
    raise ConfigError(_mismatch(path, required, source_layers))


def _fit(found, weights):
    return len(found) == len(weights) and all(
        shape is None or tuple(array.shape) == tuple(shape)
        for array, (_, shape) in zip(found, weights, strict=True)
    )


def _mismatch(path, required, source_layers):
    text = f'`warm_start={path}` does not contain this network: of its {len(required)} '
    text += 'layers with weights, '
    for name, weights in required.items():
        if not _fit(source_layers.get(name, []), weights):
            shapes = [list(shape) for _, shape in weights if shape is not None]
            text += f'{name!r} has {shapes}, '
            if name in source_layers:
                found = [list(array.shape) for array in source_layers[name]]
                return f'{text}in the source {found}'
            return (
                f'{text}which the source does not have, but {listed(source_layers, 6)}'
            )
    return text
