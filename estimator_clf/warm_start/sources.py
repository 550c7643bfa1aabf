"""Opens the source of a warm start: checkpoint, SavedModel or Keras file."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import numpy as np
import tensorflow as tf

from estimator_clf.checkpoints.best import best_checkpoint
from estimator_clf.checkpoints.listing import latest_checkpoint
from estimator_clf.core.errors import ConfigError, is_out_of_memory
from estimator_clf.core.paths import resolve_path
from estimator_clf.export.versions import list_versions

if TYPE_CHECKING:
    from estimator_clf.warm_start.keras_file import KerasFile, KerasLayer

_OBJECT_GRAPH = '_CHECKPOINTABLE_OBJECT_GRAPH'
_VALUE = '/.ATTRIBUTES/VARIABLE_VALUE'
_KERAS = ('.h5', '.hdf5', '.keras')


def open_source(
    path: str, layers: 'Iterable[KerasLayer]' = ()
) -> 'Checkpoint | KerasFile':
    """Opens the source of a warm start.

    Args:
      path: prefix of a checkpoint; directory of a run, for its latest checkpoint, or
        its best with ':best' appended; a SavedModel, or the directory of its versions,
        for the last one; a Keras weights file.
      layers: of the network, see `KerasFile`.

    Raises:
      ConfigError: there is none of these at the path.
    """
    path = resolve_path(path, '`warm_start`')
    if path.lower().endswith(_KERAS):
        if not os.path.isfile(path):
            raise ConfigError(f'`warm_start={path}`: there is no such file')
        from estimator_clf.warm_start.keras_file import KerasFile

        return KerasFile(path, layers)
    return Checkpoint(_prefix(path))


class Checkpoint:
    """Weights of a checkpoint of Estimator, `tf.train.Checkpoint` or a SavedModel.

    Attributes:
      path: prefix of the checkpoint.
      shapes: shapes by name.
      has_slots: variables of optimizers may be among them.
    """

    has_slots = True

    def __init__(self, prefix: str) -> None:
        """Opens the checkpoint.

        Raises:
          ConfigError: it cannot be read.
        """
        self.path = prefix
        try:
            self._reader = tf.train.load_checkpoint(prefix)
            dtypes = self._reader.get_variable_to_dtype_map()
            shapes = self._reader.get_variable_to_shape_map()
            names = _object_names(self._reader) if _OBJECT_GRAPH in dtypes else {}
        except (tf.errors.OpError, ValueError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise
            raise ConfigError(
                f'`warm_start={prefix}` cannot be read: {error}'
            ) from None
        # Strings are tables, or metadata of the Saver.
        self._keys = {
            names.get(key, key): key
            for key in sorted(dtypes)
            if dtypes[key] != tf.string and '.OPTIMIZER_SLOT/' not in key
        }
        self.shapes = {name: tuple(shapes[key]) for name, key in self._keys.items()}

    def read(self, name: str) -> np.ndarray:
        """Returns the value of a weight."""
        try:
            return self._reader.get_tensor(self._keys[name])
        except (tf.errors.OpError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise
            raise ConfigError(
                f'`warm_start={self.path}`: {name} cannot be read: {error}'
            ) from None


def _prefix(path):
    if path.endswith(':best'):
        best = best_checkpoint(path.removesuffix(':best'))
        if best:
            return best
        raise ConfigError(f'`warm_start={path}`: there is no best checkpoint')
    prefix = path.removesuffix('.index')
    if os.path.isfile(prefix + '.index'):
        return prefix
    if os.path.isdir(path):
        latest = latest_checkpoint(path)
        if latest:
            return latest
        if tf.saved_model.contains_saved_model(path):
            model = path
        else:
            model = next(reversed(list_versions(path)), None)
        if model:
            inside = os.path.join(model, 'variables', 'variables')
            if os.path.isfile(inside + '.index'):
                return inside
            raise ConfigError(f'`warm_start={path}`: the SavedModel has no variables')
    raise ConfigError(
        f'`warm_start={path}` must be a checkpoint, the directory of a run, a '
        'SavedModel, or a file of Keras (.h5, .keras) or PyTorch (.pth, .safetensors); '
        'there is '
        + ('none of them in it' if os.path.isdir(path) else 'no such file or directory')
    )


def _object_names(reader: Any) -> dict[str, str]:
    """Returns dict key -> name of the variables of an object-based checkpoint."""
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(
        reader.get_tensor(_OBJECT_GRAPH)
    )
    names = {
        attribute.checkpoint_key: attribute.full_name
        for node in graph.nodes
        for attribute in node.attributes
        if attribute.name == 'VARIABLE_VALUE'
    }
    if not all(names.values()) or len(set(names.values())) < len(names):
        # Missing or ambiguous names: the paths of the objects identify them.
        names = {key: key.removesuffix(_VALUE) for key in names}
    return names
