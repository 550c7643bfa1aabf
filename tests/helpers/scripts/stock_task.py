"""One process of a test in `test_traps.py`: stock Estimator, training a line for long.

Usage: python tests/helpers/scripts/stock_task.py MODEL_DIR

Prints `begin`, and the number of each step as it is taken. Reads TF_CONFIG.
"""

import sys
import time

from estimator_clf.compat import estimator  # isort: skip  # Before tensorflow: quiet.

import tensorflow as tf

v1 = tf.compat.v1


def input_fn():
    return tf.data.Dataset.from_tensors(([1.0], [2.0])).repeat()


def model_fn(features, labels, mode):
    slope = v1.get_variable('slope', [], initializer=v1.zeros_initializer())
    loss = tf.reduce_mean((slope * features - labels) ** 2)
    step = v1.train.get_global_step()
    train_op = v1.train.GradientDescentOptimizer(0.01).minimize(loss, step)
    return estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)


class Tell(v1.train.SessionRunHook):
    """Prints the number of each step, and makes none shorter than 10 ms."""

    step = 0

    def after_run(self, run_context, run_values):
        self.step += 1
        print(self.step, flush=True)
        time.sleep(0.01)


def main(model_dir):
    config = estimator.RunConfig(model_dir, save_checkpoints_steps=10_000)
    model = estimator.Estimator(model_fn, config=config)
    train = estimator.TrainSpec(input_fn, max_steps=20_000, hooks=[Tell()])
    print('begin', flush=True)
    estimator.train_and_evaluate(
        model, train, estimator.EvalSpec(lambda: input_fn().take(1))
    )


if __name__ == '__main__':
    main(sys.argv[1])
