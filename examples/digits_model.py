"""A linear classifier of handwritten digits, shared by the other examples.

It is ordinary Estimator code: the input_fn and the model_fn do not use the rest of
the package. Data: the 1,797 images that ship with scikit-learn.
"""

import sys
import tempfile
from collections.abc import Callable

from estimator_clf.compat import estimator

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from estimator_clf.core.graph_collections import EVAL_TENSORS, TRAIN_METRICS, publish

v1 = tf.compat.v1

digits = load_digits()
images = digits.images[..., None].astype(np.uint8)  # [1797, 8, 8, 1], from 0 to 16.
labels = digits.target.astype(np.int32)
keys = np.array([f'digit-{n}' for n in range(len(labels))])


def dataset(first: int, last: int) -> tf.data.Dataset:
    """Returns examples `first` to `last - 1` as (features, label)."""
    features = {'image': images[first:last], 'key': keys[first:last]}
    return tf.data.Dataset.from_tensor_slices((features, labels[first:last]))


def train_input() -> tf.data.Dataset:
    """Training input_fn: shuffled, endless, 50 examples per batch."""
    return dataset(0, 1500).shuffle(1500, seed=1).repeat().batch(50)


def eval_input() -> tf.data.Dataset:
    """Evaluation input_fn: each test example once."""
    return dataset(1500, 1797).batch(100)


def model_fn(features, labels, mode):
    """Softmax regression."""
    pixels = tf.cast(tf.reshape(features['image'], [-1, 64]), tf.float32) / 16
    weights = v1.get_variable('weights', [64, 10], initializer=v1.zeros_initializer())
    logits = tf.matmul(pixels, weights)
    probabilities = tf.nn.softmax(logits)
    if mode == estimator.ModeKeys.PREDICT:
        return estimator.EstimatorSpec(mode, predictions={'p': probabilities})
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    loss = tf.reduce_mean(losses)
    # Needed by hooks and evaluation callbacks that read more than the EstimatorSpec:
    # TrainMetricsHook, NanGuardHook and the plots.
    publish(TRAIN_METRICS, loss=loss)
    publish(EVAL_TENSORS, labels=labels, probabilities=probabilities, losses=losses)
    return estimator.EstimatorSpec(
        mode,
        loss=loss,
        train_op=v1.train.AdamOptimizer(0.01).minimize(
            loss, v1.train.get_global_step()
        ),
        eval_metric_ops={'accuracy': v1.metrics.accuracy(labels, tf.argmax(logits, 1))},
    )


def make_estimator(
    model_dir: str, model_fn: Callable = model_fn, **options
) -> estimator.Estimator:
    """Returns an Estimator that leaves saving to `CheckpointHook`.

    Args:
      model_dir: directory of the checkpoints.
      model_fn: function (features, labels, mode) -> EstimatorSpec.
      **options: of `estimator.RunConfig`.
    """
    config = estimator.RunConfig(
        save_checkpoints_steps=None, save_checkpoints_secs=None, **options
    )
    return estimator.Estimator(model_fn, model_dir, config)


def run(main: Callable[[str], None]) -> None:
    """Calls `main` with the directory on the command line, or a temporary one."""
    if len(sys.argv) > 1:
        main(sys.argv[1])
        return
    with tempfile.TemporaryDirectory() as directory:
        main(directory)
