"""Evaluation that costs no new graph: one graph and one session, kept alive."""

from collections.abc import Mapping

from estimator_clf.compat import estimator

import numpy as np
import tensorflow as tf

from estimator_clf.checkpoints.saver import saver_of
from estimator_clf.core import graph_collections
from estimator_clf.core.devices import session_config

v1 = tf.compat.v1


class Evaluator:
    """Evaluates one split of the data, as often as there are checkpoints.

    Stock Estimator builds graph, input and session again for every evaluation.
    Here they are built at the first one; every further one loads the weights and runs.

        evaluator = Evaluator(model_fn, source.input_fn('test', 256))
        metrics = evaluator.evaluate(tf.train.latest_checkpoint(model_dir))
    """

    def __init__(self, model_fn, input_fn, eval_callbacks=()):
        """Makes the evaluator; builds nothing yet.

        Args:
          model_fn: function (features, labels, mode) -> EstimatorSpec.
          input_fn: function without arguments that returns a tf.data.Dataset of
            (features, labels), or of features alone, that ends.
          eval_callbacks: list of
          `estimator_clf.evaluation.plots.eval_callback.EvalCallback`, who see the
          batches
            go by and then write what they made of them.
        """
        self._model_fn = model_fn
        self._input_fn = input_fn
        self._eval_callbacks = eval_callbacks
        self._session = None

    def evaluate(self, checkpoint, stop=False):
        """Evaluates the weights of a checkpoint, on every example once.

        Args:
          checkpoint: path prefix of the checkpoint.
          stop: when this becomes true, the evaluation is given up between batches.

        Returns:
          dict name -> float (or array, of a metric that is one), or None if it was
          given up. 'loss' is the mean over the examples, where Estimator's own is the
          mean over the batches, in which a short last batch counts too much.

        Raises:
          ValueError: there is no such checkpoint.
          tf.errors.OpError: it is of another network, or the data cannot be read.
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
                _, seen = self._session.run([self._updates, fetches])
            except tf.errors.OutOfRangeError:
                break
            for (eval_callback, _), values in zip(
                self._active_callbacks, seen, strict=True
            ):
                eval_callback.on_batch(values)
        if self._active_callbacks:
            step = int(self._session.run(self._global_step))
            for eval_callback, _ in self._active_callbacks:
                eval_callback.on_end(step)
        values = self._session.run(self._values)
        metrics = {name: _plain(value) for name, value in values.items()}
        if 'average_loss' in metrics:
            metrics = {'loss': metrics.pop('average_loss'), **metrics}
        return metrics

    def metric_names(self):
        """Returns the names of the metrics that `evaluate` will give."""
        if self._session is None:
            self._build()
        return ['loss' if n == 'average_loss' else n for n in self._values]

    def close(self):
        """Gives the session back."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _build(self):
        with tf.Graph().as_default():
            self._global_step = v1.train.create_global_step()
            iterator = v1.data.make_initializable_iterator(self._input_fn())
            features, labels = _pair(iterator.get_next())
            spec = self._model_fn(features, labels, mode=estimator.ModeKeys.EVAL)
            metrics = dict(spec.eval_metric_ops or {})
            if 'average_loss' not in metrics:
                metrics['loss'] = v1.metrics.mean(
                    spec.loss, _batch_size(features, labels)
                )
            self._values = {name: value for name, (value, _) in metrics.items()}
            self._updates = tf.group(*(update for _, update in metrics.values()))
            tensors = dict(features) if isinstance(features, Mapping) else {}
            tensors.update(graph_collections.published(graph_collections.EVAL_TENSORS))
            asked = [
                (eval_callback, eval_callback.fetches(tensors))
                for eval_callback in self._eval_callbacks
            ]
            self._active_callbacks = [
                (eval_callback, wish) for eval_callback, wish in asked if wish
            ]
            # The input may look something up in a table.
            with tf.control_dependencies([v1.tables_initializer()]):
                start_input = tf.group(iterator.initializer)
            self._initializers = [v1.local_variables_initializer(), start_input]
            self._saver = saver_of(spec)
            # From here on an evaluation that makes an op, and so leaks, is an error.
            tf.compat.v1.get_default_graph().finalize()
            self._session = v1.Session(config=session_config())


def _plain(value):
    value = np.asarray(value)
    return value if value.ndim else float(value)


def _pair(element):
    # As Estimator tells them apart: labels come in a pair, or not at all.
    return element if isinstance(element, tuple) else (element, None)


def _batch_size(features, labels):
    return tf.shape(tf.nest.flatten(features if labels is None else labels)[0])[0]
