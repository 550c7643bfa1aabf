"""`DataDependentInitHook`: initial weights that are computed when training starts.

    python -m examples.data_dependent_init [DIRECTORY]

The function returns values for any variables. `launch.train` uses the hook for the
whitening layer of the network `airbench`, computed from training images. Prints whether
the weights start from the given value. Takes seconds.
"""

import numpy as np

from estimator_clf.hooks.checkpoint import CheckpointHook
from estimator_clf.training.data_dependent_init import DataDependentInitHook
from examples.digits_model import make_estimator, run, train_input


def main(directory: str) -> None:
    """Trains one step in `directory`, from weights of 0.25."""
    init = DataDependentInitHook(
        lambda: {'weights': np.full((64, 10), 0.25, np.float32)}
    )
    hooks = [init, CheckpointHook(directory, every=[1])]  # In this order.
    model = make_estimator(directory)
    model.train(train_input, hooks=hooks, max_steps=1)
    print(abs(model.get_variable_value('weights') - 0.25).max() < 0.1)


if __name__ == '__main__':
    run(main)
