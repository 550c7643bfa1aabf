"""Precision-recall curves for TensorBoard's plugin, with exact counts."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from estimator_clf.evaluation.plots.confusion_matrix import MAX_CLASSES
from estimator_clf.evaluation.plots.eval_callback import (
    EvalCallback,
    Tensors,
    Values,
    select_tensors,
)
from estimator_clf.loggers import summary_protos

THRESHOLDS = 101


class PrecisionRecallCurves(EvalCallback):
    """Counts true and false positives of each class at 101 thresholds.

    Each class is a binary problem: at threshold t an example is predicted positive if
    the probability of the class is at least t. Writes a curve for each class,
    'precision_recall/<name>', and the micro-average 'precision_recall'; above 50
    classes the micro-average only.
    """

    def __init__(self, writer: Any, class_names: Sequence[str]) -> None:
        """Stores the arguments.

        Args:
          writer: `tf.compat.v1.summary.FileWriter` or `LazyWriter`.
          class_names: in the order of the labels.
        """
        self._writer = writer
        self._names = [str(name) for name in class_names]

    def fetches(self, tensors: Tensors) -> Tensors:
        return select_tensors(tensors, 'labels', 'probabilities')

    def on_begin(self) -> None:
        shape = (len(self._names), THRESHOLDS)
        # Histograms of the probabilities between thresholds: of all examples, and of
        # the examples of the class.
        self._all = np.zeros(shape, np.int64)
        self._true = np.zeros(shape, np.int64)

    def on_batch(self, values: Values) -> None:
        labels, probabilities = values['labels'], values['probabilities']
        # In float64, where the product with 100 does not round 0.29 up to 29.
        bins = np.floor(probabilities.astype(np.float64) * (THRESHOLDS - 1))
        # NaN is positive at threshold 0 only.
        bins = np.nan_to_num(bins, nan=0).clip(0, THRESHOLDS - 1).astype(np.int64)
        bins += np.arange(len(self._names)) * THRESHOLDS
        self._all += self._histogram(bins.ravel())
        self._true += self._histogram(bins[np.arange(len(labels)), labels])

    def on_end(self, step: int) -> None:
        # Cumulative from the highest threshold down.
        positives, true_positives = (
            np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]
            for counts in (self._all, self._true)
        )
        micro = positives.sum(axis=0), true_positives.sum(axis=0)
        self._write('precision_recall', *micro, step)
        if len(self._names) <= MAX_CLASSES:
            for i, name in enumerate(self._names):
                tag = f'precision_recall/{name}'
                self._write(tag, positives[i], true_positives[i], step)

    def _histogram(self, bins: np.ndarray) -> np.ndarray:
        counts = np.bincount(bins, minlength=self._all.size)
        return counts.reshape(self._all.shape)

    def _write(
        self, tag: str, positives: np.ndarray, true_positives: np.ndarray, step: int
    ) -> None:
        # At threshold 0 every example is predicted positive.
        examples, of_class = int(positives[0]), int(true_positives[0])
        summary = summary_protos.pr_curve(
            tag,
            true_positives,
            positives - true_positives,
            of_class,
            examples - of_class,
        )
        self._writer.add_summary(summary, step)
