"""Keras weight files, read without Keras: .h5, .weights.h5 and .keras.

Older files (layout of Keras 2's `save_weights('x.h5')` and of whole models in .h5) name
every weight. Newer ones (`x.weights.h5`, and the one inside of `x.keras`) number the
weights of a layer; what they are then follows from their shapes.
"""

import io
import json
import re
import zipfile
import zlib

import h5py
import numpy as np

from estimator_clf.core.errors import ConfigError

# Of batch normalization, in the order of Keras.
_NORMALISATION = ('gamma', 'beta', 'moving_mean', 'moving_variance')


# What a corrupt archive raises beside the errors of files.
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError)


class KerasFile:
    """Weights by name, such as 'block1_conv1/kernel'.

    Attributes:
      shapes: dict name -> tuple of int.
      layers: dict name of a layer -> list of its weights, in the file's order.
    """

    has_slots = False

    def __init__(self, path, layers=()):
        """Opens the file.

        Args:
          path: of the file.
          layers: those of the network, objects with `kind` and `name`: by them it is
            known what a file calls `conv2d_1` that does not say so itself.

        Raises:
          ConfigError: it is not such a file.
        """
        self.path = path
        config = {
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
        except (OSError, KeyError, ValueError, *_DAMAGED) as error:
            raise ConfigError(
                f'`warm_start={path}` is no whole Keras weights file: {error}'
            ) from None
        if not self._datasets:
            raise ConfigError(f'`warm_start={path}` has no weights in it')
        self.shapes = {name: data.shape for name, data in self._datasets.items()}

    def read(self, name):
        """Returns a weight as an array."""
        return np.asarray(self._datasets[name])


def _strings(group, name):
    """List of str of an attribute, which Keras splits if it is long (64 kB)."""
    values = list(group.attrs.get(name, ()))
    parts = [key for key in group.attrs if re.fullmatch(rf'{name}\d+', key)]
    for key in sorted(parts, key=lambda key: int(key[len(name) :])):
        values += list(group.attrs[key])
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values]


def _named(root):
    datasets, layers = {}, {}
    for layer in _strings(root, 'layer_names'):
        names = _strings(root[layer], 'weight_names')
        # A model inside of the model is one layer to the file.
        inside = len({name.rpartition('/')[0] for name in names}) > 1
        for name in names:
            data = datasets[name.partition(':')[0]] = root[layer][name]
            parts = name.split('/')
            own = parts[-2] if inside and len(parts) > 1 else layer
            layers.setdefault(own, []).append(data)
    return datasets, layers


def _numbered(root, config):
    """Weights of all groups called 'vars', by the names of the layers around them."""
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
            # 'layers' is the attribute of the model that holds them.
            if part in ('layers', '_layer_checkpoint_dependencies'):
                continue
            around = root['/'.join(parts[:depth])]
            beside = around.get('vars')
            known = beside.attrs.get('name') if beside is not None else None
            names.append(known or keys.get(part, part))
        numbers = sorted(group, key=int)
        shapes = [group[number].shape for number in numbers]
        for number, what in zip(numbers, _meanings(shapes), strict=True):
            datasets['/'.join([*names, what])] = group[number]
    return datasets


def _meanings(shapes):
    """What the numbered weights of a layer are; their numbers, if it is not clear."""
    ranks = [len(shape) for shape in shapes]
    if ranks == [1] * 4 and len(set(shapes)) == 1:
        return _NORMALISATION
    if ranks and ranks[0] >= 2 and ranks[1:] in ([], [1]):
        return ('kernel', 'bias')[: len(ranks)]
    return tuple(str(number) for number in range(len(shapes)))


def _names_in_config(config):
    """dict 'conv2d_1' -> 'block1_conv1': how files of before Keras 3 call a layer."""
    keys, counts = {}, {}
    layers = (config or {}).get('config', {}).get('layers', [])
    for layer in layers:
        kind, name = layer['class_name'], layer['config'].get('name')
        snake = re.sub(r'(.)([A-Z][a-z]+)', r'\1_\2', re.sub(r'\W+', '', kind))
        snake = re.sub(r'([a-z])([A-Z])', r'\1_\2', snake).lower()
        number = counts[snake] = counts.get(snake, -1) + 1
        if name:
            keys[f'{snake}_{number}' if number else snake] = name
    return keys
