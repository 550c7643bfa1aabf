"""`EstimatorSpec`s of training and prediction, shared by the heads."""

from collections.abc import Mapping

from estimator_clf.compat import estimator

import tensorflow as tf

from estimator_clf.core import errors
from estimator_clf.core.graph_collections import TRAIN_METRICS, NamedTensor
from model_fns.optimizers import train_op
from model_fns.optimizers.config import OptimizerSpec

v1 = tf.compat.v1
ModeKeys = estimator.ModeKeys


def train(
    loss: tf.Tensor,
    metrics: Mapping[str, tf.Tensor],
    optimizer: OptimizerSpec | None,
) -> estimator.EstimatorSpec:
    """Makes the spec of training from the loss of a batch.

    Args:
      loss: float32 scalar.
      metrics: tag -> scalar.
      optimizer: how to train.

    Raises:
      SettingError: no optimizer.
    """
    if optimizer is None:
        raise errors.SettingError('training requires `optimizer`, got None')
    op, learning_rate = train_op.train_op(loss, optimizer)
    return with_train_op(loss, {**metrics, 'learning_rate': learning_rate}, op)


def with_train_op(
    loss: tf.Tensor, metrics: Mapping[str, tf.Tensor], op: tf.Operation
) -> estimator.EstimatorSpec:
    """Makes the spec of training from its train_op, with summaries.

    Args:
      loss: float32 scalar.
      metrics: tag -> scalar, for TensorBoard and for the collection `TRAIN_METRICS`.
      op: the train_op.
    """
    for tag, tensor in metrics.items():
        # The tag is also that of the evaluation, so that the curves share a chart.
        # Estimator writes the loss.
        v1.summary.scalar(tag, tensor)
    existing = {tag for tag, _ in v1.get_collection(TRAIN_METRICS)}
    for tag, tensor in {'loss': loss, **metrics}.items():
        # Called once per replica; the tensors of the first are used.
        if tag not in existing:
            v1.add_to_collection(TRAIN_METRICS, NamedTensor(tag, tensor))
    return estimator.EstimatorSpec(ModeKeys.TRAIN, loss=loss, train_op=op)


def predict(
    features: Mapping[str, tf.Tensor], predictions: Mapping[str, tf.Tensor]
) -> estimator.EstimatorSpec:
    """Makes the spec of prediction and export.

    Args:
      features: may have `key`, which is copied to the predictions.
      predictions: name -> tensor [N, …].
    """
    # Without the key: the request of a client has none.
    outputs = {'serving_default': estimator.export.PredictOutput(dict(predictions))}
    if 'key' in features:
        predictions = {**predictions, 'key': features['key']}
    return estimator.EstimatorSpec(
        ModeKeys.PREDICT, predictions=predictions, export_outputs=outputs
    )
