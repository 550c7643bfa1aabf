"""Which eval_callbacks the evaluations of a run have."""

import os

from estimator_clf.evaluation.plots.confusion_matrix import ConfusionMatrix
from estimator_clf.evaluation.plots.pr_curves import PrecisionRecallCurves
from estimator_clf.evaluation.plots.projector import Projector
from estimator_clf.evaluation.plots.worst_mistakes import WorstMistakes
from estimator_clf.loggers.tensorboard_writer import LazyWriter


def eval_callbacks(config, class_names, known):
    """Makes the eval_callbacks of one evaluation set.

    Args:
      config: `Config`.
      class_names: in the order of the labels; none in a regression, which has nothing
        to draw.
      known: `estimator_clf.evaluation.eval_sets.EvalSet`.

    Returns:
      List of `EvalCallback`.
    """
    made = []
    writer = LazyWriter(os.path.join(config.model_dir, known.name))
    if class_names and config.eval_plots:
        made += [
            ConfusionMatrix(writer, class_names),
            WorstMistakes(writer, class_names),
            PrecisionRecallCurves(writer, class_names),
        ]
    if class_names and config.projector:
        facts = (known.name, class_names, config.projector, known.num_examples)
        made.append(Projector(config.model_dir, *facts))
    return made
