"""Hooks that record training: metrics, example keys, and input images.

    python -m examples.train_metrics runs/metrics && tensorboard --logdir runs/metrics

`TrainMetricsHook` averages the metrics of the steps and adds examples per second.
`ExampleKeysHook` writes the keys of each step's examples, `InputSamplesHook` the images
as the network receives them. `instrument` publishes the features for these hooks.
Takes seconds.
"""

from estimator_clf.hooks.checkpoint import CheckpointHook
from estimator_clf.hooks.example_keys import ExampleKeysHook
from estimator_clf.hooks.input_samples import InputSamplesHook
from estimator_clf.hooks.train_metrics import TrainMetricsHook
from estimator_clf.loggers.tensorboard_writer import event_writer
from estimator_clf.training.instrument import instrument
from examples.digits_model import make_estimator, model_fn, run, train_input


def report(step, metrics):
    """Prints the means since the last report."""
    print(step, metrics['loss'] > 0, metrics['examples_per_second'] > 0)


def main(directory: str) -> None:
    """Trains 20 steps in `directory`."""
    hooks = [
        TrainMetricsHook([10], 50, report),
        ExampleKeysHook(directory),
        InputSamplesHook(event_writer(directory), 10, histograms=True),
        CheckpointHook(directory, every=[10]),
    ]
    model = make_estimator(directory, instrument(model_fn))
    model.train(train_input, hooks=hooks, max_steps=20)
    with open(f'{directory}/keys.jsonl', encoding='utf-8') as file:
        print(f'{len(file.readlines())} lines of keys')


if __name__ == '__main__':
    run(main)
