"""`on_signals` and `StopHook`: a checkpoint on SIGTERM and Ctrl-C.

    python -m examples.graceful_shutdown [DIRECTORY]

The first signal ends training after the current step, with a checkpoint; a second one
ends the process. Prints the signal and the checkpoint. Takes seconds.
"""

import os
import signal

from estimator_clf.core.signals import StopHook, on_signals
from estimator_clf.hooks.checkpoint import CheckpointHook
from examples.digits_model import make_estimator, run, train_input


def main(directory: str) -> None:
    """Starts to train 1,000 steps in `directory`, and is terminated."""
    model = make_estimator(directory)
    with on_signals() as stop:
        hooks = [CheckpointHook(directory, every=[100]), StopHook(stop, print)]
        os.kill(os.getpid(), signal.SIGTERM)  # As a batch system does.
        model.train(train_input, hooks=hooks, max_steps=1000)
    print(os.path.basename(model.latest_checkpoint()))


if __name__ == '__main__':
    run(main)
