"""`train_op` and moving averages of the weights, in a model_fn of your own.

    python -m examples.optimizer [DIRECTORY]

`train_op` builds the training step from an `OptimizerSpec`: optimizer, schedule,
clipping, weight decay, frozen variables, learning rates by variable, moving averages;
it runs the update ops of batch normalization. Inside `ema.read_averages` a network is
built of the averages; frozen variables have none. Takes seconds.
"""

import contextlib

from estimator_clf.compat import estimator

import tensorflow as tf

from estimator_clf.hooks.checkpoint import CheckpointHook
from examples.digits_model import eval_input, make_estimator, run, train_input
from model_fns import OptimizerSpec
from model_fns.optimizers import ema
from model_fns.optimizers.train_op import train_op

v1 = tf.compat.v1
spec = OptimizerSpec('adamw', 0.01, ema_decay=0.9, freeze=('^scale$',))


def model_fn(features, labels, mode):
    """Softmax regression with a frozen scale; evaluates the averaged weights."""
    training = mode == estimator.ModeKeys.TRAIN
    with contextlib.nullcontext() if training else ema.read_averages(spec.frozen):
        scale = v1.get_variable('scale', [], initializer=v1.ones_initializer())
        weights = v1.get_variable('weights', [64, 10])
    pixels = tf.cast(tf.reshape(features['image'], [-1, 64]), tf.float32) / 16
    logits = tf.matmul(pixels * scale, weights)
    loss = v1.losses.sparse_softmax_cross_entropy(labels, logits)
    accuracy = v1.metrics.accuracy(labels, tf.argmax(logits, 1))
    if not training:
        return estimator.EstimatorSpec(
            mode, loss=loss, eval_metric_ops={'accuracy': accuracy}
        )
    step, learning_rate = train_op(loss, spec)
    return estimator.EstimatorSpec(mode, loss=loss, train_op=step)


def main(directory: str) -> None:
    """Trains 100 steps in `directory` and compares weights with their averages."""
    model = make_estimator(directory, model_fn)
    saver = CheckpointHook(directory, every=[100])
    model.train(train_input, hooks=[saver], max_steps=100)
    raw = model.get_variable_value('weights')
    average = model.get_variable_value('weights/ExponentialMovingAverage')
    print(model.evaluate(eval_input)['accuracy'] > 0.7)
    print((raw != average).any(), model.get_variable_value('scale'))


if __name__ == '__main__':
    run(main)
