"""Repeated evaluation in one graph and one session."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from estimator_clf.compat import estimator

import numpy as np
import tensorflow as tf

from estimator_clf.checkpoints.saver import saver_of
from estimator_clf.core import graph_collections
from estimator_clf.core.hardware.devices import session_config
from estimator_clf.evaluation.local_variables import local_variable
from estimator_clf.evaluation.plots.eval_callback import EvalCallback
from estimator_clf.loggers.jsonl import is_count

v1 = tf.compat.v1


class Evaluator:
    """Evaluates checkpoints on one split of the data.

    Stock Estimator builds graph, input and session again for every evaluation. Here
    the first evaluation builds them, and each further one only loads the weights.

        evaluator = Evaluator(model_fn, source.input_fn('test', 256))
        metrics = evaluator.evaluate(tf.train.latest_checkpoint(model_dir))
    """

    def __init__(
        self,
        model_fn: Callable[..., Any],
        input_fn: Callable[[], tf.data.Dataset],
        eval_callbacks: Sequence[EvalCallback] = (),
    ) -> None:
        """Stores the arguments; the first evaluation builds the graph.

        Args:
          model_fn: function (features, labels, mode) -> EstimatorSpec.
          input_fn: returns a finite dataset of (features, labels), or of features.
          eval_callbacks: receive tensors of every batch, and write results at the end.
        """
        self._model_fn = model_fn
        self._input_fn = input_fn
        self._eval_callbacks = eval_callbacks
        self._session: Any = None

    def evaluate(self, checkpoint: str, stop: Any = False) -> dict[str, Any] | None:
        """Evaluates the weights of a checkpoint on every example once.

        Args:
          checkpoint: path prefix of the checkpoint.
          stop: object whose truth value becomes true to abort between batches.

        Returns:
          Metrics by name, numbers or arrays, or None if aborted. 'examples' is the
          number of examples that were evaluated, without corrupt ones. 'loss' is the
          mean over the examples; Estimator's own is the mean over the batches, which
          gives a short last batch too much weight.

        Raises:
          ValueError: the checkpoint does not exist.
          tf.errors.OpError: the checkpoint belongs to another network, or the data
            cannot be read.
        """
        if self._session is None:
            self._build()
        # `restore` behaves differently outside of a graph.
        with self._session.graph.as_default():
            self._saver.restore(self._session, checkpoint)
        self._session.run(self._initializers)
        for eval_callback, _ in self._active_callbacks:
            eval_callback.on_begin()
        fetches = [tensors for _, tensors in self._active_callbacks]
        while True:
            if stop:
                return None
            try:
                _, batch = self._session.run([self._updates, fetches])
            except tf.errors.OutOfRangeError:
                break
            for (eval_callback, _), values in zip(
                self._active_callbacks, batch, strict=True
            ):
                eval_callback.on_batch(values)
        if self._active_callbacks:
            step = int(self._session.run(self._global_step))
            for eval_callback, _ in self._active_callbacks:
                eval_callback.on_end(step)
        values = self._session.run(self._values)
        metrics = {name: _to_python(value) for name, value in values.items()}
        if 'average_loss' in metrics:
            metrics = {'loss': metrics.pop('average_loss'), **metrics}
        return metrics

    def metric_names(self) -> list[str]:
        """Returns the names of the metrics of `evaluate`, without counts."""
        if self._session is None:
            self._build()
        names = ['loss' if n == 'average_loss' else n for n in self._values]
        return [name for name in names if not is_count(name)]

    def close(self) -> None:
        """Closes the session; a further evaluation builds a new one."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _build(self) -> None:
        with tf.Graph().as_default():
            self._global_step = v1.train.create_global_step()
            iterator = v1.data.make_initializable_iterator(self._input_fn())
            features, labels = _split_labels(iterator.get_next())
            spec = self._model_fn(features, labels, mode=estimator.ModeKeys.EVAL)
            metrics = dict(spec.eval_metric_ops or {})
            size = _batch_size(features, labels)
            if 'average_loss' not in metrics:
                metrics['loss'] = v1.metrics.mean(spec.loss, size)
            metrics.setdefault('examples', _count(size))
            self._values = {name: value for name, (value, _) in metrics.items()}
            self._updates = tf.group(*(update for _, update in metrics.values()))
            tensors = dict(features) if isinstance(features, Mapping) else {}
            tensors.update(graph_collections.published(graph_collections.EVAL_TENSORS))
            fetches = [
                (eval_callback, eval_callback.fetches(tensors))
                for eval_callback in self._eval_callbacks
            ]
            self._active_callbacks = [
                (eval_callback, tensors)
                for eval_callback, tensors in fetches
                if tensors
            ]
            # The input may use a lookup table.
            with tf.control_dependencies([v1.tables_initializer()]):
                start_input = tf.group(iterator.initializer)
            self._initializers = [v1.local_variables_initializer(), start_input]
            self._saver = saver_of(spec)
            # From here on an evaluation that adds an op, and so leaks, is an error.
            tf.compat.v1.get_default_graph().finalize()
            self._session = v1.Session(config=session_config())


def _count(batch_size: tf.Tensor) -> tuple[tf.Tensor, tf.Operation]:
    """Counts the examples, as a metric."""
    count = local_variable('evaluated_examples', dtype=tf.int64)
    update = count.assign_add(tf.cast(batch_size, tf.int64), read_value=False)
    return count.read_value(), update


def _to_python(value: Any) -> Any:
    value = np.asarray(value)
    if value.ndim:
        return value
    return int(value) if np.issubdtype(value.dtype, np.integer) else float(value)


def _split_labels(element: Any) -> tuple[Any, Any]:
    # Estimator's rule: a tuple is (features, labels), anything else is features.
    return element if isinstance(element, tuple) else (element, None)


def _batch_size(features: Any, labels: Any) -> tf.Tensor:
    return tf.shape(tf.nest.flatten(features if labels is None else labels)[0])[0]
