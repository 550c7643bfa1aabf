"""`NanGuardHook` and `NanRollback`: recovery from a loss that is NaN or infinite.

    python -m examples.nan_guard [DIRECTORY]

The hook ends training at the first non-finite loss and names the step. `NanRollback`
counts the rollbacks to the last checkpoint and reduces the learning rate with each.
Prints each rollback, and the final step and learning rate factor. Takes seconds.
"""

from estimator_clf.compat import estimator

import tensorflow as tf

from estimator_clf.checkpoints.recovery import step_back
from estimator_clf.core.graph_collections import TRAIN_METRICS, publish
from estimator_clf.hooks.checkpoint import CheckpointHook
from estimator_clf.hooks.nan_guard import NanGuardHook, NonFiniteError
from estimator_clf.training.nan_rollback import NanRollback
from estimator_clf.training.run_directory import latest_step
from examples.digits_model import make_estimator, run, train_input

v1 = tf.compat.v1


def main(directory: str) -> None:
    """Minimizes w ** 2 in `directory`, first with a rate at which w diverges."""
    rollbacks = NanRollback(directory, most=2, factor=0.2)

    def diverging(features, labels, mode, params):
        w = v1.get_variable('w', [], initializer=v1.ones_initializer())
        loss = w**2
        publish(TRAIN_METRICS, loss=loss)
        optimizer = v1.train.GradientDescentOptimizer(3.0 * rollbacks.rate)
        train_op = optimizer.minimize(loss, v1.train.get_global_step())
        return estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

    while True:
        model = make_estimator(directory, diverging)
        hooks = [NanGuardHook(), CheckpointHook(directory, every=[5])]
        try:
            model.train(train_input, hooks=hooks, max_steps=60)
            break
        except NonFiniteError as error:
            step = latest_step(directory)
            if not rollbacks.allowed():
                raise
            if rollbacks.made_no_progress(step) and step_back(directory):
                step = latest_step(directory)
            print(rollbacks.note(error, step))
    print(latest_step(directory), rollbacks.rate)


if __name__ == '__main__':
    run(main)
