"""`recover` and `DirectoryLock`: corrupt checkpoints, and one trainer per directory.

    python -m examples.recovery [DIRECTORY]

`recover` makes the newest intact checkpoint the latest one. The lock excludes a second
trainer; the system releases it when the process dies. Prints the checkpoint that is
left after the newest one was truncated. Takes seconds.
"""

import os

from estimator_clf.checkpoints.recovery import recover
from estimator_clf.core.file_lock import DirectoryLock
from estimator_clf.hooks.checkpoint import CheckpointHook
from examples.digits_model import make_estimator, run, train_input


def main(directory: str) -> None:
    """Trains 40 steps in `directory`, and truncates the newest checkpoint twice."""
    lock = DirectoryLock(directory)
    lock.acquire()
    model = make_estimator(directory)
    for last in (20, 40):
        recover(directory)
        saver = CheckpointHook(directory, every=[10])
        model.train(train_input, hooks=[saver], max_steps=last)
        os.truncate(model.latest_checkpoint() + '.data-00000-of-00001', 100)
    print(recover(directory) is not None, os.path.basename(model.latest_checkpoint()))
    lock.release()


if __name__ == '__main__':
    run(main)
