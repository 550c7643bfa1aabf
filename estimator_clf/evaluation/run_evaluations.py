"""Evaluations of a run: schedule, results and summaries of its evaluation sets."""

import functools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import numpy as np

from estimator_clf.evaluation.eval_sets import EvalSet
from estimator_clf.evaluation.evaluator import Evaluator
from estimator_clf.evaluation.plots.eval_callback import EvalCallback
from estimator_clf.hooks.evaluation import EvaluationListener
from estimator_clf.loggers import tensorboard_writer
from estimator_clf.loggers.jsonl import MetricsLog, without_counts

Metrics = dict[str, Any]


class Evaluations:
    """All evaluations of a run; the graph of each set is built once.

    Results go to `metrics.jsonl`, from which a restarted run reads them, and to
    TensorBoard events in a directory named after the set.
    """

    def __init__(
        self,
        model_fn: Callable[..., Any],
        sets: Sequence[EvalSet],
        model_dir: str,
        log: MetricsLog,
        on_result: Callable[[int, str, Metrics], None],
        stop: Any = False,
        eval_callbacks: Callable[[EvalSet], list[EvalCallback]] | None = None,
    ) -> None:
        """Stores the arguments; builds and writes nothing.

        Args:
          model_fn: function (features, labels, mode) -> EstimatorSpec.
          sets: evaluation sets with distinct names.
          model_dir: directory of the run.
          log: log of the run's metrics.
          on_result: function (step, name of the set, metrics), called after each
            evaluation.
          stop: object whose truth value becomes true to abort evaluations.
          eval_callbacks: makes the callbacks of a set.
        """
        self._model_fn = model_fn
        self._sets = {eval_set.name: eval_set for eval_set in sets}
        self._model_dir = model_dir
        self._log = log
        self._on_result = on_result
        self._stop = stop
        self._eval_callbacks = eval_callbacks or (lambda eval_set: [])
        self._evaluators: dict[str, Evaluator] = {}

    def intervals(self) -> list[float]:
        """Returns the intervals of the evaluations, in steps."""
        return [s.every for s in self._sets.values() if s.every]

    def metric_names(self, name: str) -> list[str]:
        """Returns the names of the metrics of a set; builds its graph."""
        plain = self._sets[name].plain_input_fn
        if plain is None:
            return self._evaluator(name).metric_names()
        evaluator = Evaluator(self._model_fn, plain)
        names = evaluator.metric_names()
        evaluator.close()
        return names

    def results(self, name: str) -> dict[int, Metrics]:
        """Returns the logged metrics of a set by step."""
        return {
            line['step']: {
                key: math.nan if value is None else value
                for key, value in line.items()
                if key not in ('step', 'split', 'time')
            }
            for line in self._log.read()
            if line['split'] == name
        }

    def listeners(
        self, after: Mapping[str, Callable[..., None]], clock: Any
    ) -> list[EvaluationListener]:
        """Makes the listeners of `CheckpointHook`.

        Args:
          after: by name of a set, see `EvaluationListener`.
          clock: see `EvaluationListener`.
        """
        return [
            EvaluationListener(
                self._evaluator(name),
                eval_set.every,
                functools.partial(self._on_metrics, name),
                known=self.results(name),
                after=after.get(name),
                clock=clock,
                stop=self._stop,
            )
            for name, eval_set in self._sets.items()
            if eval_set.every is not None
        ]

    def evaluate_remaining(self, checkpoint: str, step: int) -> dict[str, Metrics]:
        """Evaluates the sets without a result for a step, and closes all sessions.

        Args:
          checkpoint: path prefix of the last checkpoint.
          step: its step.

        Returns:
          Metrics by name of the set; some are missing if `stop` became true.
        """
        found = {}
        for name in self._sets:
            metrics = self.results(name).get(step)
            if metrics is None:
                metrics = self._evaluator(name).evaluate(checkpoint, self._stop)
                if metrics is None:
                    break
                metrics = _scalars(metrics)
                self._report(step, name, metrics)
            found[name] = metrics
            self._close(name)
        self.close()
        return found

    def record(self, step: int, name: str, metrics: Metrics) -> None:
        """Logs the metrics of a set that are known without an evaluation."""
        self._report(step, name, metrics)

    def close(self) -> None:
        """Closes all sessions."""
        for name in list(self._evaluators):
            self._close(name)

    def _evaluator(self, name: str) -> Evaluator:
        if name not in self._evaluators:
            eval_set = self._sets[name]
            self._evaluators[name] = Evaluator(
                self._model_fn, eval_set.input_fn, self._eval_callbacks(eval_set)
            )
        return self._evaluators[name]

    def _close(self, name: str) -> None:
        if name in self._evaluators:
            self._evaluators.pop(name).close()

    def _on_metrics(self, name, step, metrics):
        self._report(step, name, _scalars(metrics))

    def _report(self, step: int, name: str, metrics: Metrics) -> None:
        self._log.write(step, name, metrics)
        # For TensorBoard a directory is a run: with the same tags as in training, the
        # curves share one chart.
        writer = tensorboard_writer.event_writer(os.path.join(self._model_dir, name))
        tensorboard_writer.write_scalars(writer, step, without_counts(metrics))
        self._on_result(step, name, metrics)


def _scalars(metrics: Metrics) -> Metrics:
    """Returns the metrics without arrays, which a custom model_fn may have."""
    return {name: value for name, value in metrics.items() if np.ndim(value) == 0}
