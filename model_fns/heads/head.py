"""The one place where a network's outputs become an `EstimatorSpec`."""

from collections.abc import Callable, Mapping, Sequence

from estimator_clf.compat import estimator

import tensorflow as tf

from estimator_clf.core import errors, graph_collections
from estimator_clf.core.graph_collections import (
    EVAL_TENSORS,
    TRAIN_METRICS,
    NamedTensor,
)
from model_fns.heads import metrics
from model_fns.optimizers import train_op
from model_fns.optimizers.config import OptimizerSpec, check_number

v1 = tf.compat.v1
ModeKeys = estimator.ModeKeys

# What the loss of a classifier can be, see `classification`.
LOSSES = ('cross_entropy', 'squared_error')

# How many classes a prediction lists by name.
TOP_CLASSES = 5


def classification(
    mode: str,
    features: Mapping[str, tf.Tensor],
    logits: tf.Tensor,
    labels: tf.Tensor | None,
    *,
    num_classes: int,
    class_names: Sequence[str] | None = None,
    label_smoothing: float = 0.0,
    class_weights: Sequence[float] | None = None,
    loss: str = 'cross_entropy',
    optimizer: OptimizerSpec | None = None,
):
    """Softmax cross-entropy, or sigmoids' squared error, over exclusive classes.

    The loss is `sum(w * l) / sum(w)` over the batch, where `l` is an example's
    loss and `w` the weight of its class (1 without `class_weights`), so
    that its size does not change with the weights' scale. Smoothing (Szegedy et
    al., 2016, section 7) turns a label into `(1 - s) * label + s / num_classes`, in
    training only: evaluation and `average_loss` always have the plain loss.

    An example's loss is its cross-entropy; or, with `squared_error`, as in the lessons
    that write a network in NumPy, `sum((a - y) ** 2) / 2` over the classes, where `a`
    is the sigmoid of the network's output and `y` the one-hot label (Nielsen, 2015,
    "Neural Networks and Deep Learning", equation 6). What is called `logits` is then
    `log(a)`, so that the probabilities, its softmax, are the `a` divided by their sum.

    Args:
        mode: one of `estimator.ModeKeys`.
        features: may hold `key`, string [B], which predictions hand back.
        logits: floating [B, num_classes].
        labels: an integer type [B], or floating [B, num_classes] once mixed, each row
            summing to 1; evaluation counts a mixed label as its largest class.
        num_classes: at least 2.
        class_names: their names, in order; None counts from '0'.
        label_smoothing: s, at least 0 and below 1.
        class_weights: w, one number for each class, none negative.
        loss: one of `LOSSES`.
        optimizer: needed for training only.

    Returns:
        An `EstimatorSpec`. EVAL: `accuracy`, `average_loss`, `macro_f1`,
        `expected_calibration_error`, `top_5_accuracy` (with more than 5 classes),
        `precision/<class>` and `recall/<class>` (up to 50 classes). PREDICT: with
        k = min(5, num_classes) `classes` (names, string [N, k]) and `scores` (float32
        [N, k]), both sorted by score; `class_index` (int64 [N]), `probabilities` and
        `logits` (float32 [N, num_classes]), and `key` where there is one.

    Raises:
        SettingError: a setting that cannot be used.
        ValueError: `logits` or `labels` of the wrong shape.
    """
    check_classification(num_classes, class_names, label_smoothing, class_weights, loss)
    names = [str(name) for name in class_names or range(num_classes)]
    if mode != ModeKeys.TRAIN:
        logits = _activated(_checked_logits(logits, num_classes), loss)
    if mode == ModeKeys.PREDICT:
        return _predict(features, _class_predictions(logits, names))

    labels = _checked_labels(labels, num_classes)
    if labels.dtype.is_integer:
        index = tf.cast(labels, tf.int64)
    else:
        index = tf.argmax(labels, axis=1)
    if mode == ModeKeys.TRAIN:
        loss_of = classification_loss(
            labels,
            num_classes=num_classes,
            label_smoothing=label_smoothing,
            class_weights=class_weights,
            kind=loss,
        )
        return _train(*loss_of(logits, labels), optimizer)

    predicted = tf.argmax(logits, axis=1)
    weights = _example_weights(labels, class_weights)
    losses = _losses(logits, labels, 0.0, loss)
    probabilities = tf.nn.softmax(logits)
    graph_collections.publish(
        EVAL_TENSORS, labels=index, probabilities=probabilities, losses=losses
    )
    metric_ops = {
        'accuracy': metrics.accuracy(index, predicted),
        'average_loss': metrics.average('average_loss', losses, weights),
        'expected_calibration_error': metrics.expected_calibration_error(
            index, probabilities
        ),
        **metrics.by_class(index, predicted, names),
    }
    if num_classes > 5:
        metric_ops['top_5_accuracy'] = metrics.top_k_accuracy(index, logits, 5)
    return estimator.EstimatorSpec(
        mode, loss=_weighted_mean(losses, weights), eval_metric_ops=metric_ops
    )


def classification_loss(
    labels: tf.Tensor,
    *,
    num_classes: int,
    label_smoothing: float = 0.0,
    class_weights: Sequence[float] | None = None,
    kind: str = 'cross_entropy',
    parts: int = 1,
) -> Callable:
    """Makes the function that gives the loss of training, in parts if need be.

    Args:
        labels: of the whole batch, see `classification`.
        num_classes: at least 2.
        label_smoothing: see `classification`.
        class_weights: see `classification`.
        kind: one of `LOSSES`.
        parts: into how many equal parts the batch is cut.

    Returns:
        Function (logits, labels) of a part -> its shares in loss and metrics, float32
        scalars; the shares of all parts add up to those of the batch.
    """
    labels = _checked_labels(labels, num_classes)
    if class_weights is not None:
        # By the whole batch: a part may have lighter examples than the others.
        total = _replica_mean(tf.reduce_sum(_example_weights(labels, class_weights)))

    def loss_of(logits, labels):
        logits = _activated(_checked_logits(logits, num_classes), kind)
        labels = _checked_labels(labels, num_classes)
        losses = _losses(logits, labels, label_smoothing, kind)
        index = labels if labels.shape.rank == 1 else tf.argmax(labels, axis=1)
        right = tf.equal(tf.cast(index, tf.int64), tf.argmax(logits, axis=1))
        accuracy = tf.reduce_mean(tf.cast(right, tf.float32))
        if class_weights is None:
            loss = tf.reduce_mean(losses) / parts
        else:
            weights = _example_weights(labels, class_weights)
            loss = tf.math.divide_no_nan(tf.reduce_sum(losses * weights), total)
        return loss, {'accuracy': accuracy / parts}

    return loss_of


def example_losses(
    logits: tf.Tensor,
    labels: tf.Tensor,
    *,
    num_classes: int,
    label_smoothing: float = 0.0,
    kind: str = 'cross_entropy',
) -> tf.Tensor:
    """The loss of each example in training, float32 [B]; see `classification`."""
    logits = _activated(_checked_logits(logits, num_classes), kind)
    labels = _checked_labels(labels, num_classes)
    return _losses(logits, labels, label_smoothing, kind)


def _replica_mean(x):
    """The mean of a tensor over the replicas, over which gradients are averaged."""
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return x

    # As `_sum_over_replicas` of training.py, and for its reason.
    def merged(strategy, x):
        return strategy.extended.reduce_to(
            tf.distribute.ReduceOp.MEAN, x, destinations=x
        )

    return tf.distribute.get_replica_context().merge_call(merged, args=(x,))


def regression_loss(parts: int = 1) -> Callable:
    """Makes the function for `regression` that `classification_loss` is for classes."""

    def loss_of(y, labels):
        y = _one_column('predictions', y)
        labels = _one_column('labels', tf.convert_to_tensor(labels))
        return tf.reduce_mean(tf.math.squared_difference(y, labels)) / parts, {}

    return loss_of


def regression(
    mode: str,
    features: Mapping[str, tf.Tensor],
    logits: tf.Tensor,
    labels: tf.Tensor | None,
    *,
    optimizer: OptimizerSpec | None = None,
):
    """Mean squared error of one number per example.

    Args:
        mode: one of `estimator.ModeKeys`.
        features: may hold `key`, string [B], which predictions hand back.
        logits: floating [B] or [B, 1], the predicted numbers.
        labels: numbers [B] or [B, 1].
        optimizer: needed for training only.

    Returns:
        An `EstimatorSpec`. EVAL: `average_loss` (the mean squared error),
        `mean_absolute_error`, `root_mean_squared_error`. PREDICT: `y`, float32 [N].

    Raises:
        ValueError: `logits` or `labels` of the wrong shape.
    """
    y = _one_column('predictions', logits)
    if mode == ModeKeys.PREDICT:
        return _predict(features, {'y': y})
    if labels is None:
        raise ValueError('labels are needed to train and to evaluate, got None')
    labels = _one_column('labels', tf.convert_to_tensor(labels))
    losses = tf.math.squared_difference(y, labels)
    loss = tf.reduce_mean(losses)
    if mode == ModeKeys.TRAIN:
        return _train(*regression_loss()(y, labels), optimizer)
    metric_ops = {
        'average_loss': metrics.average('average_loss', losses),
        'mean_absolute_error': metrics.average(
            'mean_absolute_error', tf.abs(y - labels)
        ),
        'root_mean_squared_error': metrics.root_mean_squared_error(labels, y),
    }
    return estimator.EstimatorSpec(ModeKeys.EVAL, loss=loss, eval_metric_ops=metric_ops)


def check_classification(
    num_classes: int,
    class_names: Sequence[str] | None,
    label_smoothing: float,
    class_weights: Sequence[float] | None,
    loss: str,
) -> None:
    """Checks the settings of `classification`, which has them explained.

    Raises:
        SettingError: one of them cannot be used.
    """
    if loss not in LOSSES:
        raise errors.unknown('loss', 'loss', loss, LOSSES)
    check_number('num_classes', num_classes, least=2, whole=True)
    check_number('label_smoothing', label_smoothing, least=0, below=1)
    if class_names is not None and len(class_names) != num_classes:
        raise errors.SettingError(
            f'class_names must be one name for each of the {num_classes} classes, '
            f'got {len(class_names)}'
        )
    if class_names is not None and len(set(class_names)) != num_classes:
        raise errors.SettingError('class_names must differ from each other')
    if class_weights is None:
        return
    if len(class_weights) != num_classes:
        raise errors.SettingError(
            f'`class_weights` must be one number for each of the {num_classes} '
            f'classes, got {len(class_weights)}'
        )
    for weight in class_weights:
        check_number('class_weights', weight, least=0)
    if not any(class_weights):
        raise errors.SettingError('`class_weights` must not all be 0')


def training_spec(loss: tf.Tensor, shown: Mapping[str, tf.Tensor], op: tf.Operation):
    """Makes the `EstimatorSpec` of training, with its curves.

    Args:
        loss: float32 scalar.
        shown: tag -> scalar, for TensorBoard and for `TRAIN_METRICS`.
        op: the train_op.
    """
    for tag, tensor in shown.items():
        # The tag is what evaluation calls it too, so that the curves can be overlaid.
        # Estimator itself writes the loss.
        v1.summary.scalar(tag, tensor)
    known = {tag for tag, _ in v1.get_collection(TRAIN_METRICS)}
    for tag, tensor in {'loss': loss, **shown}.items():
        # Every replica passes here; the first one's tensors are kept.
        if tag not in known:
            v1.add_to_collection(TRAIN_METRICS, NamedTensor(tag, tensor))
    return estimator.EstimatorSpec(ModeKeys.TRAIN, loss=loss, train_op=op)


def _train(loss, shown, optimizer):
    if optimizer is None:
        raise errors.SettingError('training needs `optimizer`, got None')
    op, rate = train_op.train_op(loss, optimizer)
    return training_spec(loss, {**shown, 'learning_rate': rate}, op)


def _predict(features, predictions):
    # The key stays out of the served signature: a client's request has none.
    outputs = {'serving_default': estimator.export.PredictOutput(predictions)}
    if 'key' in features:
        predictions = {**predictions, 'key': features['key']}
    return estimator.EstimatorSpec(
        ModeKeys.PREDICT, predictions=predictions, export_outputs=outputs
    )


def _class_predictions(logits, names):
    probabilities = tf.nn.softmax(logits)
    top = tf.math.top_k(probabilities, min(TOP_CLASSES, len(names)))
    # A constant, not a lookup table: that would carry the path of its file into the
    # exported graph.
    return {
        'classes': tf.gather(tf.constant(names), top.indices),
        'scores': top.values,
        'class_index': tf.cast(top.indices[:, 0], tf.int64),
        'probabilities': probabilities,
        'logits': logits,
    }


def _activated(logits, kind):
    """What the probabilities are the softmax of, float32 [B, classes]."""
    return tf.math.log_sigmoid(logits) if kind == 'squared_error' else logits


def _losses(logits, labels, smoothing, kind):
    """The loss of each example, float32 [B]; `logits` as `_activated` returns them."""
    if kind == 'cross_entropy':
        return _cross_entropy(logits, labels, smoothing)
    classes = logits.shape[1]
    if labels.dtype.is_integer:
        # Not `tf.one_hot`: a label out of range would be a row of zeros.
        labels = tf.gather(tf.eye(classes), labels)
    labels = (1.0 - smoothing) * labels + smoothing / classes
    squares = tf.math.squared_difference(tf.exp(logits), labels)
    return tf.reduce_sum(squares, axis=1) / 2.0


def _cross_entropy(logits, labels, smoothing):
    """Cross-entropy of each example, float32 [B]."""
    if labels.dtype.is_integer:
        # Not by one-hot labels: there a label out of range would be a row of zeros, and
        # a loss of 0, where this op raises (on a GPU: gives NaN).
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    else:
        losses = tf.nn.softmax_cross_entropy_with_logits(labels, logits)
    if smoothing:
        uniform = -tf.reduce_mean(tf.nn.log_softmax(logits), axis=1)
        losses = (1.0 - smoothing) * losses + smoothing * uniform
    return losses


def _example_weights(labels, class_weights):
    """float32 [B]: the class's weight; of a mixed label, the weights mixed alike."""
    if class_weights is None:
        return None
    class_weights = tf.constant(class_weights, tf.float32)
    if labels.dtype.is_integer:
        return tf.gather(class_weights, labels)
    return tf.linalg.matvec(labels, class_weights)


def _weighted_mean(losses, weights):
    if weights is None:
        return tf.reduce_mean(losses)
    return tf.math.divide_no_nan(
        tf.reduce_sum(losses * weights), tf.reduce_sum(weights)
    )


def _checked_logits(logits, num_classes):
    if not logits.shape.is_compatible_with((None, num_classes)):
        raise ValueError(
            f'logits must be [B, {num_classes}] for {num_classes} classes, got '
            f'{logits.shape}'
        )
    return tf.cast(logits, tf.float32)


def _checked_labels(labels, num_classes):
    if labels is None:
        raise ValueError('labels are needed to train and to evaluate, got None')
    labels = tf.convert_to_tensor(labels)
    if labels.dtype.is_integer:
        wanted, fits = '[B]', labels.shape.rank in (None, 1)
        # The loss takes int32 and int64 only.
        labels = tf.cast(labels, tf.int64) if labels.dtype != tf.int32 else labels
    else:
        wanted = f'[B, {num_classes}]'
        fits = labels.shape.is_compatible_with((None, num_classes))
        labels = tf.cast(labels, tf.float32)
    if not fits:
        raise ValueError(
            f'labels of type {labels.dtype.name} must be {wanted}, got {labels.shape}'
        )
    return labels


def _one_column(name, x):
    x = tf.cast(x, tf.float32)
    # Without this, [B] minus [B, 1] is silently [B, B].
    if x.shape.rank == 2 and x.shape[1] == 1:
        x = tf.squeeze(x, axis=1)
    if x.shape.rank != 1:
        raise ValueError(f'{name} must be [B] or [B, 1], got {x.shape}')
    return x
