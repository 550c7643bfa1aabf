"""`WarmStartHook`: initial weights from a checkpoint, a SavedModel or a Keras file.

    python -m examples.warm_start [DIRECTORY]

`plan` lists which variables were restored and which were not; restoring nothing is an
error. Prints the counts, and the refusal. Takes seconds.
"""

from estimator_clf.config.warm_start_rules import WarmStartRules
from estimator_clf.core.errors import ConfigError
from estimator_clf.hooks.checkpoint import CheckpointHook
from estimator_clf.warm_start.hook import WarmStartHook
from estimator_clf.warm_start.sources import open_source
from examples.digits_model import make_estimator, run, train_input


def main(directory: str) -> None:
    """Trains in `directory`/old, and continues in other directories."""
    old = f'{directory}/old'
    saver = CheckpointHook(old, every=[20])
    make_estimator(old).train(train_input, hooks=[saver], max_steps=20)

    new = f'{directory}/new'
    warm_start = WarmStartHook(open_source(old))
    hooks = [warm_start, CheckpointHook(new, every=[20])]  # In this order.
    make_estimator(new).train(train_input, hooks=hooks, max_steps=1)
    print(warm_start.assignment.counts())

    nothing = WarmStartHook(open_source(old), WarmStartRules(exclude=('weights',)))
    try:
        make_estimator(f'{directory}/refused').train(
            train_input, hooks=[nothing], max_steps=1
        )
    except ConfigError:
        print('nothing restored')


if __name__ == '__main__':
    run(main)
