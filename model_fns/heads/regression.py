"""Regression head: predicted numbers to `EstimatorSpec`."""

from collections.abc import Mapping

from estimator_clf.compat import estimator

import tensorflow as tf

from model_fns.heads import estimator_spec, losses, metrics
from model_fns.optimizers.config import OptimizerSpec

ModeKeys = estimator.ModeKeys


def regression(
    mode: str,
    features: Mapping[str, tf.Tensor],
    predictions: tf.Tensor,
    labels: tf.Tensor | None,
    *,
    optimizer: OptimizerSpec | None = None,
) -> estimator.EstimatorSpec:
    """Makes the `EstimatorSpec` of a regression with the mean squared error.

    Args:
      mode: one of `estimator.ModeKeys`.
      features: may have `key`, string [B], which is copied to the predictions.
      predictions: floating [B] or [B, 1].
      labels: numbers [B] or [B, 1].
      optimizer: required in training only.

    Returns:
      An `EstimatorSpec`. EVAL: `average_loss` (the mean squared error),
      `mean_absolute_error`, `root_mean_squared_error`. PREDICT: `y`, float32 [N].

    Raises:
      SettingError: training without an optimizer.
      ValueError: `predictions` or `labels` of the wrong shape.
    """
    y = losses.checked_column('predictions', predictions)
    if mode == ModeKeys.PREDICT:
        return estimator_spec.predict(features, {'y': y})
    labels = losses.checked_column('labels', losses.required_labels(labels))
    per_example = tf.math.squared_difference(y, labels)
    loss = tf.reduce_mean(per_example)
    if mode == ModeKeys.TRAIN:
        return estimator_spec.train(*losses.regression_loss()(y, labels), optimizer)
    metric_ops = {
        'average_loss': metrics.average('average_loss', per_example),
        'mean_absolute_error': metrics.average(
            'mean_absolute_error', tf.abs(y - labels)
        ),
        'root_mean_squared_error': metrics.root_mean_squared_error(labels, y),
    }
    return estimator.EstimatorSpec(ModeKeys.EVAL, loss=loss, eval_metric_ops=metric_ops)
