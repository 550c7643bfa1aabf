"""`ProfileHook`: records steps for TensorBoard's profiler.

    pip install xprof
    python -m examples.profiling runs/profile && tensorboard --logdir runs/profile

Prints the number of recordings. Takes seconds.
"""

import glob

from estimator_clf.hooks.checkpoint import CheckpointHook
from estimator_clf.hooks.profile import ProfileHook
from examples.digits_model import make_estimator, run, train_input


def main(directory: str) -> None:
    """Trains 10 steps in `directory` and records steps 5 to 8."""
    hooks = [
        ProfileHook(directory, first=5, last=8),
        CheckpointHook(directory, every=[10]),
    ]
    make_estimator(directory).train(train_input, hooks=hooks, max_steps=10)
    print(len(glob.glob(f'{directory}/plugins/profile/*/*.xplane.pb')))


if __name__ == '__main__':
    run(main)
