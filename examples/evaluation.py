"""`Evaluator` and `EvaluationListener`: evaluation during training.

    python -m examples.evaluation [DIRECTORY]

The evaluator keeps one graph and one session for all checkpoints; stock Estimator
builds both for every evaluation. The listener runs it after checkpoints at an interval
in steps. Prints the metrics at steps 20, 40 and 50. Takes seconds.
"""

from estimator_clf.evaluation.evaluator import Evaluator
from estimator_clf.hooks.checkpoint import CheckpointHook
from estimator_clf.hooks.evaluation import EvaluationListener
from examples.digits_model import (
    eval_input,
    make_estimator,
    model_fn,
    run,
    train_input,
)


def report(step, metrics):
    """Prints the result of one evaluation."""
    print(step, sorted(metrics), metrics['accuracy'] > 0.7)


def main(directory: str) -> None:
    """Trains 50 steps in `directory` and evaluates every 20."""
    evaluator = Evaluator(model_fn, eval_input)
    listener = EvaluationListener(evaluator, 20, report)
    saver = CheckpointHook(directory, every=[20], listeners=[listener])
    make_estimator(directory).train(train_input, hooks=[saver], max_steps=50)
    evaluator.close()


if __name__ == '__main__':
    run(main)
