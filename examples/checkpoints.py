"""`CheckpointHook`: saves at steps that are multiples of an interval, and at the end.

    python -m examples.checkpoints [DIRECTORY]

The steps do not depend on where a run was resumed, unlike those of the stock
`CheckpointSaverHook`. Prints the checkpoints of steps 0, 20, 40 and 50. Takes seconds.

A `Saver` in the model_fn's `Scaffold` is invisible to the hook: pass it as `saver`, or
add it to the collection `tf.compat.v1.GraphKeys.SAVERS` in the model_fn.
"""

import glob
import os

from estimator_clf.hooks.checkpoint import CheckpointHook
from examples.digits_model import make_estimator, run, train_input


def main(directory: str) -> None:
    """Trains 50 steps in `directory`."""
    saver = CheckpointHook(directory, every=[20])
    make_estimator(directory).train(train_input, hooks=[saver], max_steps=50)
    for path in sorted(glob.glob(f'{directory}/*.index')):
        print(os.path.basename(path))


if __name__ == '__main__':
    run(main)
