"""Factory of the evaluation callbacks of a run."""

import os
from collections.abc import Sequence

from estimator_clf.config.config import Config
from estimator_clf.evaluation.eval_sets import EvalSet
from estimator_clf.evaluation.plots.confusion_matrix import ConfusionMatrix
from estimator_clf.evaluation.plots.eval_callback import EvalCallback
from estimator_clf.evaluation.plots.pr_curves import PrecisionRecallCurves
from estimator_clf.evaluation.plots.projector import Projector
from estimator_clf.evaluation.plots.worst_mistakes import WorstMistakes
from estimator_clf.loggers.tensorboard_writer import LazyWriter


def make_eval_callbacks(
    config: Config, class_names: Sequence[str], eval_set: EvalSet
) -> list[EvalCallback]:
    """Makes the callbacks of one evaluation set.

    Args:
      config: settings of the run.
      class_names: in the order of the labels; empty for regression, which has no plots.
      eval_set: the evaluation set.
    """
    callbacks: list[EvalCallback] = []
    writer = LazyWriter(os.path.join(config.run.model_dir, eval_set.name))
    if class_names and config.evaluation.eval_plots:
        callbacks += [
            ConfusionMatrix(writer, class_names),
            WorstMistakes(writer, class_names),
            PrecisionRecallCurves(writer, class_names),
        ]
    if class_names and config.evaluation.projector:
        callbacks.append(
            Projector(
                config.run.model_dir,
                eval_set.name,
                class_names,
                config.evaluation.projector,
                eval_set.num_examples,
            )
        )
    return callbacks
