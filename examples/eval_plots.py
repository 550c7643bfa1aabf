"""Evaluation callbacks: confusion matrix, worst mistakes, precision-recall curves.

    python -m examples.eval_plots runs/plots && tensorboard --logdir runs/plots

The callbacks read the tensors that the model_fn publishes as `EVAL_TENSORS`, in the
same pass as the metrics, and write images, tables and curves for TensorBoard. Prints
the tags. Takes seconds.
"""

import glob

from estimator_clf.compat import estimator  # noqa: F401  Before TensorFlow.

import tensorflow as tf

from estimator_clf.evaluation.evaluator import Evaluator
from estimator_clf.evaluation.plots.confusion_matrix import ConfusionMatrix
from estimator_clf.evaluation.plots.pr_curves import PrecisionRecallCurves
from estimator_clf.evaluation.plots.worst_mistakes import WorstMistakes
from estimator_clf.hooks.checkpoint import CheckpointHook
from estimator_clf.loggers.tensorboard_writer import event_writer
from examples.digits_model import (
    eval_input,
    make_estimator,
    model_fn,
    run,
    train_input,
)


def main(directory: str) -> None:
    """Trains 20 steps in `directory`; writes the plots to `directory`/eval."""
    names = [str(n) for n in range(10)]
    writer = event_writer(f'{directory}/eval')
    callbacks = [
        callback(writer, names)
        for callback in (ConfusionMatrix, WorstMistakes, PrecisionRecallCurves)
    ]
    model = make_estimator(directory)
    saver = CheckpointHook(directory, every=[20])
    model.train(train_input, hooks=[saver], max_steps=20)
    evaluator = Evaluator(model_fn, eval_input, callbacks)
    evaluator.evaluate(model.latest_checkpoint())
    evaluator.close()
    writer.flush()
    (events,) = glob.glob(f'{directory}/eval/events.out.tfevents.*')
    for event in tf.compat.v1.train.summary_iterator(events):
        for value in event.summary.value:
            if not value.tag.startswith('precision_recall/'):  # One for each class.
                print(value.tag)


if __name__ == '__main__':
    run(main)
