"""`BestCheckpoints`: retains the best checkpoints, next to the latest ones.

    python -m examples.best_checkpoints [DIRECTORY]

Values, steps and paths are in `best.json`, which a restarted run reads back; stock
`BestExporter` starts from nothing. Instead of `copy_checkpoint` any function that makes
a directory from a checkpoint will do, such as an export. Prints the step of the best
checkpoint. Takes seconds.
"""

from estimator_clf.checkpoints.best import (
    BestCheckpoints,
    best_checkpoint,
    copy_checkpoint,
)
from estimator_clf.config.metric_goal import MetricGoal
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


def main(directory: str) -> None:
    """Trains 60 steps in `directory`; the best checkpoint is in `directory`/best."""
    goal = MetricGoal('accuracy', 'max')
    best = BestCheckpoints(f'{directory}/best', goal, 1, copy_checkpoint)
    evaluator = Evaluator(model_fn, eval_input)
    goal.check(evaluator.metric_names())  # A misspelled metric is an error here.
    listener = EvaluationListener(
        evaluator, 20, lambda step, metrics: None, after=best.maybe_save
    )
    saver = CheckpointHook(directory, every=[20], listeners=[listener])
    make_estimator(directory).train(train_input, hooks=[saver], max_steps=60)
    evaluator.close()
    step = best.entries[0]['step']
    print(f'best: step {step}')
    print(best_checkpoint(directory) == f'{best.best_path()}/model.ckpt-{step}')


if __name__ == '__main__':
    run(main)
