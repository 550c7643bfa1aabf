"""Weights of a published architecture, brought from Keras's layers to our variables.

Keras's files name the layers, or number them, or name them otherwise than the
architecture does today (InceptionV3's counts from `conv2d_1`); and the names of the
weights in them have changed over the years (`block1_conv1_W_1`). Keras itself goes by
the order of the layers and of the weights in a layer; so does this, where the names of
the layers do not tell.
"""

import numpy as np

from estimator_clf.config.warm_start_rules import listed
from estimator_clf.core.errors import ConfigError


class KerasLayerMapping:
    """A source whose weights are called as the network's variables are.

    Attributes:
      path: of the source.
      shapes: dict name of a variable -> tuple of int.
    """

    has_slots = False

    def __init__(self, path, arrays):
        """Makes the source.

        Args:
          path: for messages.
          arrays: dict name of a variable -> array, or what `np.asarray` makes one of.
        """
        self.path = path
        self._arrays = arrays
        self.shapes = {name: tuple(a.shape) for name, a in arrays.items()}

    def read(self, name):
        """Returns a weight as an array."""
        return np.asarray(self._arrays[name])


def by_layer(path, there, layers, variables):
    """Finds the layers of a network in a source.

    By name, if all are there under their names and with weights of the right shapes;
    or else in the order of the two, if that fits. LayerBuilder of the source behind
    those of
    the network, its classifier, are left out.

    Args:
      path: of the source, for messages.
      there: dict name of a layer -> list of arrays, in the source's order.
      layers: sequence of objects with `name` and `weights` (names), in the network's
        order.
      variables: dict name -> shape of the network's variables, one scope around all.

    Returns:
      `KerasLayerMapping`.

    Raises:
      ConfigError: the source does not hold all of them.
    """
    scope = next(iter(variables)).partition('/')[0]
    wanted = {}
    for layer in layers:
        names = [f'{scope}/{layer.name}/{weight}' for weight in layer.weights]
        # What is none here, such as a count of batches, is no weight of the network.
        shapes = [variables.get(name) for name in names]
        if any(shapes):
            wanted[layer.name] = list(zip(names, shapes, strict=True))
    if not wanted:
        raise ConfigError(f'`warm_start={path}`: the network has no layers of Keras')
    named = [(there.get(name, []), weights) for name, weights in wanted.items()]
    in_order = list(zip(there.values(), wanted.values(), strict=False))
    for pairs in (named, in_order):
        if len(pairs) == len(wanted) and all(_fit(*pair) for pair in pairs):
            arrays = {
                name: array
                for found, weights in pairs
                for array, (name, shape) in zip(found, weights, strict=True)
                if shape is not None
            }
            return KerasLayerMapping(path, arrays)
    raise ConfigError(_mismatch(path, wanted, there))


def _fit(found, weights):
    return len(found) == len(weights) and all(
        shape is None or tuple(array.shape) == tuple(shape)
        for array, (_, shape) in zip(found, weights, strict=True)
    )


def _mismatch(path, wanted, there):
    text = f'`warm_start={path}` does not hold this network: of its {len(wanted)} '
    text += 'layers with weights, '
    for name, weights in wanted.items():
        if not _fit(there.get(name, []), weights):
            shapes = [list(shape) for _, shape in weights if shape is not None]
            text += f'{name!r} has {shapes}, there '
            if name in there:
                return text + str([list(array.shape) for array in there[name]])
            return text + f'is none of this name; there are {listed(there, 6)}'
    return text
