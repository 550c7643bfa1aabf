"""Classification head: logits to `EstimatorSpec`."""

from collections.abc import Mapping, Sequence

from estimator_clf.compat import estimator

import tensorflow as tf

from estimator_clf.core import graph_collections
from model_fns.heads import estimator_spec, losses, metrics
from model_fns.optimizers.config import OptimizerSpec
from model_fns.specs import HeadSpec, check_classes

ModeKeys = estimator.ModeKeys

#: Number of classes that a prediction lists by name.
TOP_CLASSES = 5


def classification(
    mode: str,
    features: Mapping[str, tf.Tensor],
    logits: tf.Tensor,
    labels: tf.Tensor | None,
    *,
    num_classes: int,
    class_names: Sequence[str] | None = None,
    head: HeadSpec | None = None,
    optimizer: OptimizerSpec | None = None,
) -> estimator.EstimatorSpec:
    """Makes the `EstimatorSpec` of a classifier with exclusive classes.

    Evaluation and `average_loss` use the loss without label smoothing.

    Args:
      mode: one of `estimator.ModeKeys`.
      features: may have `key`, string [B], which is copied to the predictions.
      logits: floating [B, num_classes].
      labels: an integer type [B], or floating [B, num_classes] after mixing, each row
        with a sum of 1; evaluation counts a mixed label as its largest class.
      num_classes: at least 2.
      class_names: one for each class, in order; None: '0', '1', …
      head: loss and class weights; None: `HeadSpec()`.
      optimizer: required in training only.

    Returns:
      An `EstimatorSpec`. EVAL: `accuracy`, `average_loss`, `macro_f1`,
      `expected_calibration_error`, `top_5_accuracy` (with more than 5 classes),
      `precision/<class>`, `recall/<class>` and `examples/<class>` (up to 50 classes).
      PREDICT: with
      k = min(5, num_classes) `classes` (names, string [N, k]) and `scores` (float32
      [N, k]), both sorted by score; `class_index` (int64 [N]), `probabilities` and
      `logits` (float32 [N, num_classes]), and `key` if there is one.

    Raises:
      SettingError: an invalid setting.
      ValueError: `logits` or `labels` of the wrong shape.
    """
    head = head or HeadSpec()
    check_classes(num_classes, class_names)
    head.check_num_classes(num_classes)
    names = [str(name) for name in class_names or range(num_classes)]
    if mode != ModeKeys.TRAIN:
        logits = losses.checked_logits(logits, num_classes)
        logits = losses.log_probabilities(logits, head.loss)
    if mode == ModeKeys.PREDICT:
        return estimator_spec.predict(features, _predictions(logits, names))
    labels = losses.checked_labels(labels, num_classes)
    if labels.dtype.is_integer:
        index = tf.cast(labels, tf.int64)
    else:
        index = tf.argmax(labels, axis=1)
    if mode == ModeKeys.TRAIN:
        loss_fn = losses.classification_loss(labels, num_classes, head)
        return estimator_spec.train(*loss_fn(logits, labels), optimizer)
    return _evaluate(logits, labels, index, names, head)


def _evaluate(logits, labels, index, names, head):
    """Makes the spec of evaluation; `index` is the label as a class, int64 [B]."""
    predicted = tf.argmax(logits, axis=1)
    weights = losses.example_weights(labels, head.class_weights)
    per_example = losses.per_example(logits, labels, 0.0, head.loss)
    probabilities = tf.nn.softmax(logits)
    graph_collections.publish(
        graph_collections.EVAL_TENSORS,
        labels=index,
        probabilities=probabilities,
        losses=per_example,
    )
    metric_ops = {
        'accuracy': metrics.accuracy(index, predicted),
        'average_loss': metrics.average('average_loss', per_example, weights),
        'expected_calibration_error': metrics.expected_calibration_error(
            index, probabilities
        ),
        **metrics.by_class(index, predicted, names),
    }
    if len(names) > 5:
        metric_ops['top_5_accuracy'] = metrics.top_k_accuracy(index, logits, 5)
    return estimator.EstimatorSpec(
        ModeKeys.EVAL,
        loss=losses.weighted_mean(per_example, weights),
        eval_metric_ops=metric_ops,
    )


def _predictions(logits, names):
    probabilities = tf.nn.softmax(logits)
    top = tf.math.top_k(probabilities, min(TOP_CLASSES, len(names)))
    # A constant, not a lookup table, which would put the path of its file into the
    # exported graph.
    return {
        'classes': tf.gather(tf.constant(names), top.indices),
        'scores': top.values,
        'class_index': tf.cast(top.indices[:, 0], tf.int64),
        'probabilities': probabilities,
        'logits': logits,
    }
