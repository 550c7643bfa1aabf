"""An input_fn of `input/` and a model_fn of `model_fns/` in a bare Estimator.

    python -m examples.bare_estimator [DIRECTORY]

Nothing of `estimator_clf` is needed but the import of Estimator. Prints the metrics of
the test split after 100 steps. Takes seconds.
"""

from estimator_clf.compat import estimator

import input as data
from examples.digits_model import run
from model_fns import ModelSpec, make_model_fn


def main(directory: str) -> None:
    """Trains a convolutional network in `directory` and evaluates it."""
    source = data.open_dataset('digits')
    model_fn = make_model_fn(
        ModelSpec(
            'cnn', num_classes=10, mean=source.info.mean, stddev=source.info.stddev
        )
    )
    classifier = estimator.Estimator(model_fn, model_dir=directory)
    train_input = source.input_fn('train', batch_size=64, training=True)
    classifier.train(train_input, max_steps=100)
    metrics = classifier.evaluate(source.input_fn('test', batch_size=64))
    print(f'step {metrics["global_step"]}, accuracy {metrics["accuracy"]:.2f}')


if __name__ == '__main__':
    run(main)
