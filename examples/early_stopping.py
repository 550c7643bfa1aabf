"""`EarlyStopping` and `StopHook`: ends training when a metric stops improving.

    python -m examples.early_stopping [DIRECTORY]

`EarlyStopping` receives the results of evaluations directly, whatever the distribution
strategy; `StopHook` ends the session, and hooks that save at the end still save. Prints
the reason. Takes seconds.
"""

from estimator_clf.config.early_stopping import EarlyStopping
from estimator_clf.config.metric_goal import MetricGoal
from estimator_clf.core.signals import Stop, StopHook
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
    """Trains at most 5,000 steps in `directory`."""
    early_stopping = EarlyStopping(MetricGoal('accuracy', 'max'), patience=3)
    stop = Stop()

    def report(step, metrics):
        if early_stopping.update(step, metrics):
            stop.requested = early_stopping.why()

    evaluator = Evaluator(model_fn, eval_input)
    listener = EvaluationListener(evaluator, 20, report)
    saver = CheckpointHook(directory, every=[20], listeners=[listener])
    model = make_estimator(directory)
    model.train(train_input, hooks=[saver, StopHook(stop)], max_steps=5000)
    evaluator.close()
    print(stop.requested)
    print(int(model.get_variable_value('global_step')) < 5000)


if __name__ == '__main__':
    run(main)
