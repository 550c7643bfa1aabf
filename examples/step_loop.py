"""`StepLoop`: many training steps in one `session.run`.

    python -m examples.step_loop [DIRECTORY]

For networks whose step takes less time than the Python code around it. The train_op
becomes a loop up to the next step of some intervals; hooks receive one value per step
through the collections of `instrument`. `StepLoop.hook` makes the `StepLoopHook` that
sets the number of iterations. Takes seconds.
"""

from estimator_clf.hooks.checkpoint import CheckpointHook
from estimator_clf.hooks.step_loop import StepLoopHook
from estimator_clf.hooks.train_metrics import TrainMetricsHook
from estimator_clf.training.instrument import instrument
from estimator_clf.training.step_loop import StepLoop
from examples.digits_model import make_estimator, model_fn, run, train_input


def report(step, metrics):
    """Prints whether the mean loss since the last report is positive."""
    print(step, metrics['loss'] > 0)


def main(directory: str) -> None:
    """Trains 50 steps in `directory`, up to 20 in one `session.run`."""
    loop = StepLoop()
    # Before all other hooks, and with the `max_steps` below.
    loop_hook: StepLoopHook = loop.hook(50, every=[20])
    hooks = [
        loop_hook,
        TrainMetricsHook([20], 50, report),
        CheckpointHook(directory, every=[20]),
    ]
    model = make_estimator(directory, loop.model_fn(instrument(model_fn)))
    model.train(loop.input_fn(train_input), hooks=hooks, max_steps=50)
    print(loop.step)


if __name__ == '__main__':
    run(main)
