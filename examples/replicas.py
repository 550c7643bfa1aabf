"""`devices`: CPU or GPUs, and the distribution strategy to train with.

    python -m examples.replicas [DIRECTORY]

On a machine with GPUs call `set_up()`; here two logical CPUs stand for two of them.
The batch and the order of examples are those of one device. Prints the number of
replicas and the checkpoint. Takes seconds.
"""

import os

from estimator_clf.core.hardware import devices


def main(directory: str) -> None:
    """Trains 10 steps in `directory` on two replicas."""
    replicas = devices.set_up('cpu', 2)  # Before TensorFlow is used for anything.
    from estimator_clf.hooks.checkpoint import CheckpointHook
    from examples.digits_model import make_estimator, train_input

    model = make_estimator(
        directory,
        train_distribute=devices.strategy(replicas),
        session_config=devices.session_config(),
    )
    saver = CheckpointHook(directory, every=[10])
    model.train(train_input, hooks=[saver], max_steps=10)
    print(replicas, os.path.basename(model.latest_checkpoint()))


if __name__ == '__main__':
    from examples.digits_model import run

    run(main)
