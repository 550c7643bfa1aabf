"""Outputs of a training loop: metrics of each step, keys, images of the last step."""

import contextlib
from collections.abc import Iterator
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from estimator_clf.core.graph_collections import (
    EXAMPLE_IMAGES,
    EXAMPLE_KEYS,
    TRAIN_METRICS,
    publish,
)
from estimator_clf.training.step_loop.inputs import features_and_labels

v1 = tf.compat.v1


class LoopOutputs:
    """Loop variables that collect what hooks fetch after a run of several steps.

    Attributes:
      start: their initial values, by name.
      shapes: their shape invariants, by name.
    """

    def __init__(self, element_spec: Any, pack: int, keys: bool, count: tf.Tensor):
        """Determines which outputs there are.

        Args:
          element_spec: of the dataset.
          pack: see `StepLoop`.
          keys: see `StepLoop`.
          count: int32 scalar, maximum number of steps of the run.
        """

        def spec_of(name):
            found = features_and_labels(element_spec)[0]
            found = found.get(name) if isinstance(found, dict) else None
            if found is None or pack == 1:
                return found
            return tf.TensorSpec(found.shape[1:], found.dtype)

        def array(dtype):
            return tf.TensorArray(dtype, count, infer_shape=False)

        images = spec_of('image')
        self._keys = keys and spec_of('key')
        self._names: list[str] = []
        self.start = {'metrics': array(tf.float64)}
        self.shapes = {'metrics': tf.TensorShape(None)}
        if self._keys:
            # It grows, so that only entries that were written are read in the end.
            every = tf.TensorArray(
                self._keys.dtype, 0, True, infer_shape=False, element_shape=[None]
            )
            self.start.update(keys=every, sizes=array(tf.int64))
            self.shapes.update(keys=tf.TensorShape(None), sizes=tf.TensorShape(None))
        if images is not None:
            shape = [n or 0 for n in images.shape]
            self.start['images'] = tf.zeros(shape, images.dtype)
            self.shapes['images'] = images.shape

    def write_step(
        self, values: dict, step: tf.Tensor, loss: tf.Tensor, collections: dict
    ) -> tuple[dict, list[tf.Tensor]]:
        """Adds the outputs of a step to the loop variables.

        Args:
          values: the loop variables.
          step: number of the step within the run, int32 scalar.
          loss: loss of the step, scalar.
          collections: graph collections of the loop's body, by name.

        Returns:
          The loop variables, and the tensors that were added to them.
        """
        self._names = [name for name, _ in collections[TRAIN_METRICS]]
        row = [loss, *(tensor for _, tensor in collections[TRAIN_METRICS])]
        row = [tf.cast(tensor, tf.float64) for tensor in row]
        values = dict(values, metrics=values['metrics'].write(step, tf.stack(row)))
        if self._keys:
            keys = collections[EXAMPLE_KEYS][0]
            size = tf.size(keys, tf.int64)
            values['keys'] = values['keys'].write(step, keys)
            values['sizes'] = values['sizes'].write(step, size)
        if 'images' in values and EXAMPLE_IMAGES in collections:
            values['images'] = collections[EXAMPLE_IMAGES][0]
        return values, row

    def publish(self, values: dict, steps: tf.Tensor) -> tf.Tensor:
        """Adds the outputs to the graph's collections.

        Args:
          values: the loop variables after the run.
          steps: number of steps of the run, int32 scalar.

        Returns:
          The loss of the last step, float32 scalar.
        """
        table = values['metrics'].stack()[:steps]
        table.set_shape([None, 1 + len(self._names)])
        columns = {name: table[:, n] for n, name in enumerate(self._names, 1)}
        publish(TRAIN_METRICS, **columns)
        if 'images' in values:
            v1.add_to_collection(EXAMPLE_IMAGES, values['images'])
        if self._keys:
            sizes = values['sizes'].stack()[:steps]
            keys = values['keys'].concat()
            rows = tf.RaggedTensor.from_row_lengths(keys, sizes, validate=False)
            v1.add_to_collection(EXAMPLE_KEYS, rows)
        return tf.cast(table[-1, 0], tf.float32)


@contextlib.contextmanager
def isolated_collections() -> Iterator[dict[str, list]]:
    """Removes what is added inside the block from the graph's collections.

    A loop's body shares the collections of the graph around it, whose sessions cannot
    fetch tensors of the body.

    Yields:
      dict name -> the entries that were removed, filled at the end.
    """
    graph = v1.get_default_graph()
    before = {name: len(graph.get_collection(name)) for name in graph.collections}
    removed: dict[str, list] = {}
    yield removed
    for name in list(graph.collections):
        items = graph.get_collection_ref(name)
        new = items[before.get(name, 0) :]
        inside = [item for item in new if _graph_of(item) is graph]
        if inside:
            removed[name] = inside
            items[:] = [item for item in items if not any(item is x for x in inside)]


def _graph_of(item):
    """The graph of a tensor, op, variable or (name, tensor) pair; or None."""
    if isinstance(item, tuple):
        item = item[-1]
    return getattr(item, 'graph', None)
