"""Precision-recall curves of TensorBoard's plugin, with exact counts."""

import numpy as np

from estimator_clf.evaluation.plots.confusion_matrix import MAX_CLASSES
from estimator_clf.evaluation.plots.eval_callback import EvalCallback, choose
from estimator_clf.loggers import summary_protos

THRESHOLDS = 101


class PrecisionRecallCurves(EvalCallback):
    """Counts, at 101 thresholds, how often each class is found and falsely found.

    At a threshold t an example is taken for a class if its probability is at least t;
    so each class is a question of its own, as in the plugin. Writes a curve for each
    class, 'precision_recall/<name>', and for all their answers thrown together
    'precision_recall' (the micro-average); above 50 classes that one only.
    """

    def __init__(self, writer, class_names):
        """Makes the eval_callback.

        Args:
          writer: `tf.compat.v1.summary.FileWriter`.
          class_names: in the order of the labels.
        """
        self._writer = writer
        self._names = [str(name) for name in class_names]

    def fetches(self, tensors):
        return choose(tensors, 'labels', 'probabilities')

    def on_begin(self):
        shape = (len(self._names), THRESHOLDS)
        # How many probabilities lie from one threshold to the next: of all examples,
        # and of those that are of the class.
        self._all = np.zeros(shape, np.int64)
        self._true = np.zeros(shape, np.int64)

    def on_batch(self, values):
        labels, probabilities = values['labels'], values['probabilities']
        # In float64, where the product with 100 does not round 0.29 up to 29.
        place = np.floor(probabilities.astype(np.float64) * (THRESHOLDS - 1))
        # What is not a number is found at no threshold but 0.
        place = np.nan_to_num(place, nan=0).clip(0, THRESHOLDS - 1).astype(np.int64)
        place += np.arange(len(self._names)) * THRESHOLDS
        self._all += self._count(place.ravel())
        self._true += self._count(place[np.arange(len(labels)), labels])

    def on_end(self, step):
        # From the highest threshold down: what is found at t is found below it too.
        found, true = (
            np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]
            for counts in (self._all, self._true)
        )
        self._write('precision_recall', found.sum(axis=0), true.sum(axis=0), step)
        if len(self._names) <= MAX_CLASSES:
            for i, name in enumerate(self._names):
                self._write(f'precision_recall/{name}', found[i], true[i], step)

    def _count(self, place):
        counts = np.bincount(place, minlength=self._all.size)
        return counts.reshape(self._all.shape)

    def _write(self, tag, found, true, step):
        # At threshold 0 everything is found.
        positives, questions = int(true[0]), int(found[0])
        summary = summary_protos.pr_curve(
            tag, true, found - true, positives, questions - positives
        )
        self._writer.add_summary(summary, step)
