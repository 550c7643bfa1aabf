"""Reads Keras weight files without Keras: .h5, .weights.h5 and .keras.

Older files (layout of Keras 2's `save_weights('x.h5')` and of whole models in .h5) name
every weight. Newer ones (`x.weights.h5`, and the one inside `x.keras`) number the
weights of a layer; their names are then inferred from their shapes.
"""

import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import h5py
import numpy as np

from estimator_clf.core.errors import ConfigError

# Weights of batch normalization, in the order of Keras.
_BATCH_NORM = ('gamma', 'beta', 'moving_mean', 'moving_variance')


# Errors of a corrupt archive, besides those of files.
_CORRUPT_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError)


class KerasLayer(Protocol):
    """A layer of a network, as Keras names it.

    Attributes:
      name: such as 'block1_conv1'.
      kind: name of its class, such as 'Conv2D'.
    """

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...


class KerasFile:
    """Weights by name, such as 'block1_conv1/kernel'.

    Attributes:
      path: of the file.
      shapes: shapes by name.
      layers: weights by name of the layer, in the file's order.
    """

    has_slots = False

    def __init__(self, path: str, layers: Iterable[KerasLayer] = ()) -> None:
        """Opens the file.

        Args:
          path: of the file.
          layers: layers of the network; they resolve names such as `conv2d_1` in files
            without the names of layers.

        Raises:
          ConfigError: it is not a Keras weights file, or corrupt.
        """
        self.path = path
        self.layers: dict[str, list[h5py.Dataset]]
        config: dict[str, Any] = {
            'config': {
                'layers': [
                    {'class_name': layer.kind, 'config': {'name': layer.name}}
                    for layer in layers
                ]
            }
        }
        try:
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    data = io.BytesIO(archive.read('model.weights.h5'))
                    config = json.loads(archive.read('config.json'))
                self._file = h5py.File(data, 'r')
            else:
                self._file = h5py.File(path, 'r')
            root = self._file.get('model_weights', self._file)
            if _strings(root, 'layer_names'):
                self._datasets, self.layers = _named(root)
            else:
                self._datasets = _numbered(root, config)
                self.layers = {}
                for name, data in self._datasets.items():
                    layer = name.split('/')[-2] if '/' in name else ''
                    self.layers.setdefault(layer, []).append(data)
        except (OSError, KeyError, ValueError, *_CORRUPT_ARCHIVE) as error:
            raise ConfigError(
                f'`warm_start={path}` is not a Keras weights file, or corrupt: {error}'
            ) from None
        if not self._datasets:
            raise ConfigError(f'`warm_start={path}` contains no weights')
        self.shapes = {name: data.shape for name, data in self._datasets.items()}

    def read(self, name: str) -> np.ndarray:
        """Returns the value of a weight."""
        return np.asarray(self._datasets[name])


def _strings(group: h5py.Group, name: str) -> list[str]:
    """Reads an attribute of strings, which Keras splits above 64 kB."""
    values = list(group.attrs.get(name, ()))
    parts = [key for key in group.attrs if re.fullmatch(rf'{name}\d+', key)]
    for key in sorted(parts, key=lambda key: int(key[len(name) :])):
        values += list(group.attrs[key])
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values]


def _named(
    root: h5py.Group,
) -> tuple[dict[str, h5py.Dataset], dict[str, list[h5py.Dataset]]]:
    """Reads the weights of a file that names them, and the same by layer."""
    datasets: dict[str, h5py.Dataset] = {}
    layers: dict[str, list[h5py.Dataset]] = {}
    for layer in _strings(root, 'layer_names'):
        names = _strings(root[layer], 'weight_names')
        # A model inside the model is a single layer in the file.
        inside = len({name.rpartition('/')[0] for name in names}) > 1
        for name in names:
            data = datasets[name.partition(':')[0]] = root[layer][name]
            parts = name.split('/')
            own = parts[-2] if inside and len(parts) > 1 else layer
            layers.setdefault(own, []).append(data)
    return datasets, layers


def _numbered(root: h5py.Group, config: dict[str, Any]) -> dict[str, h5py.Dataset]:
    """Reads the weights of all groups 'vars', named after the enclosing layers."""
    groups = []

    def visit(path, item):
        if isinstance(item, h5py.Group) and path.split('/')[-1] == 'vars' and len(item):
            groups.append((path, item))

    root.visititems(visit)
    keys = _names_in_config(config)
    datasets = {}
    for path, group in groups:
        if path.split('/')[0] == 'optimizer':
            continue
        names = []
        parts = path.split('/')[:-1]
        for depth, part in enumerate(parts, 1):
            # Attributes of the model, not names of layers.
            if part in ('layers', '_layer_checkpoint_dependencies'):
                continue
            weights = root['/'.join(parts[:depth])].get('vars')
            name = weights.attrs.get('name') if weights is not None else None
            names.append(name or keys.get(part, part))
        numbers = sorted(group, key=int)
        shapes = [group[number].shape for number in numbers]
        for number, what in zip(numbers, _weight_names(shapes), strict=True):
            datasets['/'.join([*names, what])] = group[number]
    return datasets


def _weight_names(shapes: Sequence[tuple[int, ...]]) -> tuple[str, ...]:
    """Infers the names of a layer's numbered weights, or returns their numbers."""
    ranks = [len(shape) for shape in shapes]
    if ranks == [1] * 4 and len(set(shapes)) == 1:
        return _BATCH_NORM
    if ranks and ranks[0] >= 2 and ranks[1:] in ([], [1]):
        return ('kernel', 'bias')[: len(ranks)]
    return tuple(str(number) for number in range(len(shapes)))


def _names_in_config(config: dict[str, Any] | None) -> dict[str, str]:
    """Returns dict 'conv2d_1' (in files before Keras 3) -> 'block1_conv1'."""
    keys: dict[str, str] = {}
    counts: dict[str, int] = {}
    layers = (config or {}).get('config', {}).get('layers', [])
    for layer in layers:
        kind, name = layer['class_name'], layer['config'].get('name')
        snake = re.sub(r'(.)([A-Z][a-z]+)', r'\1_\2', re.sub(r'\W+', '', kind))
        snake = re.sub(r'([a-z])([A-Z])', r'\1_\2', snake).lower()
        number = counts[snake] = counts.get(snake, -1) + 1
        if name:
            keys[f'{snake}_{number}' if number else snake] = name
    return keys
