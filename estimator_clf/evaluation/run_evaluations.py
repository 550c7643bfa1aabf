"""The evaluations of a run: which there are, when they are due, what they found."""

import math
import os

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import numpy as np

from estimator_clf.evaluation.evaluator import Evaluator
from estimator_clf.hooks.evaluation import EvaluationListener
from estimator_clf.loggers import tensorboard_writer


class Evaluations:
    """All that a run evaluates; each set has a graph that is built once.

    What is found goes to `metrics.jsonl`, from where a restarted run knows it, and into
    TensorBoard's events of a directory of the set's name.
    """

    def __init__(
        self, model_fn, sets, model_dir, log, on_result, stop=False, eval_callbacks=None
    ):
        """Makes the object; builds and writes nothing yet.

        Args:
          model_fn: function (features, labels, mode) -> EstimatorSpec.
          sets: list of `estimator_clf.evaluation.eval_sets.EvalSet`.
          model_dir: directory of the run.
          log: `MetricsLog`.
          on_result: function (step, name of the set, metrics), called after each.
          stop: when this becomes true, evaluations are given up.
          eval_callbacks: function from an `EvalSet` to the list of its `EvalCallback`s.
        """
        self._model_fn = model_fn
        self._sets = {known.name: known for known in sets}
        self._model_dir = model_dir
        self._log = log
        self._on_result = on_result
        self._stop = stop
        self._eval_callbacks = eval_callbacks or (lambda known: [])
        self._evaluators = {}

    def intervals(self):
        """Returns the intervals, in steps, at which something is evaluated."""
        return [s.every for s in self._sets.values() if s.every]

    def metric_names(self, name):
        """Returns the metrics of a set; builds its graph."""
        plain = self._sets[name].plain_input_fn
        if plain is None:
            return self._evaluator(name).metric_names()
        evaluator = Evaluator(self._model_fn, plain)
        names = evaluator.metric_names()
        evaluator.close()
        return names

    def results(self, name):
        """Returns dict step -> metrics of what is evaluated already."""
        return {
            line['step']: {
                key: math.nan if value is None else value
                for key, value in line.items()
                if key not in ('step', 'split', 'time')
            }
            for line in self._log.read()
            if line['split'] == name
        }

    def listeners(self, after, clock):
        """Makes the listeners of `CheckpointHook`.

        Args:
          after: dict name of a set -> function, see `EvaluationListener`.
          clock: see `EvaluationListener`.
        """
        return [
            EvaluationListener(
                self._evaluator(name),
                known.every,
                lambda step, metrics, name=name: self._report(
                    step, name, _numbers(metrics)
                ),
                known=self.results(name),
                after=after.get(name),
                clock=clock,
                stop=self._stop,
            )
            for name, known in self._sets.items()
            if known.every is not None
        ]

    def evaluate_remaining(self, checkpoint, step):
        """Evaluates on every set what was not yet, and gives the sessions back.

        Args:
          checkpoint: path prefix of the last checkpoint.
          step: its step.

        Returns:
          dict name -> metrics; less than all where a signal came.
        """
        found = {}
        for name in self._sets:
            metrics = self.results(name).get(step)
            if metrics is None:
                metrics = self._evaluator(name).evaluate(checkpoint, self._stop)
                if metrics is None:
                    break
                metrics = _numbers(metrics)
                self._report(step, name, metrics)
            found[name] = metrics
            self._close(name)
        self.close()
        return found

    def close(self):
        """Gives all sessions back."""
        for name in list(self._evaluators):
            self._close(name)

    def _evaluator(self, name):
        if name not in self._evaluators:
            known = self._sets[name]
            self._evaluators[name] = Evaluator(
                self._model_fn, known.input_fn, self._eval_callbacks(known)
            )
        return self._evaluators[name]

    def _close(self, name):
        if name in self._evaluators:
            self._evaluators.pop(name).close()

    def _report(self, step, name, metrics):
        self._log.write(step, name, metrics)
        # A directory of its own is a run of its own for TensorBoard: the same tags as
        # in
        # training lie over each other in one chart.
        writer = tensorboard_writer.event_writer(os.path.join(self._model_dir, name))
        tensorboard_writer.write_scalars(writer, step, metrics)
        self._on_result(step, name, metrics)


def _numbers(metrics):
    """Metrics without those that are arrays, as a model_fn of one's own may have."""
    return {name: value for name, value in metrics.items() if np.ndim(value) == 0}
