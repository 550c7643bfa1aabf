"""Losses of classification and regression, per example and averaged over a batch.

The loss of a batch is `sum(w * l) / sum(w)`, where `l` is the loss of an example and
`w` the weight of its class (1 without `class_weights`), so that it does not change with
the scale of the weights.

`cross_entropy` is the softmax cross-entropy. `squared_error` is
`sum((a - y) ** 2) / 2` over the classes, where `a` is the sigmoid of the network's
output and `y` the one-hot label (Nielsen, 2015, "Neural Networks and Deep Learning",
equation 6). Its `logits` are `log(a)`, so that the probabilities, their softmax, are
the `a` divided by their sum.

Label smoothing (Szegedy et al., 2016, section 7) turns a label into
`(1 - s) * label + s / num_classes`, in training only.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from model_fns.specs import HeadSpec

#: Function (logits, labels) of a micro-batch -> its share of the loss and its shares of
#: the metrics of the batch, float32 scalars.
LossFn = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, dict[str, tf.Tensor]]]


def classification_loss(
    labels: tf.Tensor | None,
    num_classes: int,
    head: HeadSpec | None = None,
    num_microbatches: int = 1,
) -> LossFn:
    """Makes the training loss of a classifier, for one or several micro-batches.

    Args:
      labels: of the whole batch: an integer type [B], or floating [B, num_classes].
      num_classes: at least 2.
      head: None: `HeadSpec()`.
      num_microbatches: number of equal micro-batches that the batch is split into.

    Returns:
      Function (logits, labels) of a micro-batch -> its share of the loss and of the
      metrics, float32 scalars; the shares of all micro-batches add up to the batch's.
    """
    head = head or HeadSpec()
    class_weights = head.class_weights
    labels = checked_labels(labels, num_classes)
    if class_weights is not None:
        # Of the whole batch: the weights of one micro-batch may be smaller than those
        # of another.
        weights = example_weights(labels, class_weights)
        total = _replica_mean(tf.reduce_sum(weights))

    def loss_fn(logits, labels):
        logits = log_probabilities(checked_logits(logits, num_classes), head.loss)
        labels = checked_labels(labels, num_classes)
        losses = per_example(logits, labels, head.label_smoothing, head.loss)
        index = labels if labels.shape.rank == 1 else tf.argmax(labels, axis=1)
        correct = tf.equal(tf.cast(index, tf.int64), tf.argmax(logits, axis=1))
        accuracy = tf.reduce_mean(tf.cast(correct, tf.float32))
        if class_weights is None:
            loss = tf.reduce_mean(losses) / num_microbatches
        else:
            weights = example_weights(labels, class_weights)
            loss = tf.math.divide_no_nan(tf.reduce_sum(losses * weights), total)
        return loss, {'accuracy': accuracy / num_microbatches}

    return loss_fn


def example_losses(
    logits: tf.Tensor, labels: tf.Tensor, num_classes: int, head: HeadSpec | None = None
) -> tf.Tensor:
    """Computes the training loss of each example, float32 [B]."""
    head = head or HeadSpec()
    logits = log_probabilities(checked_logits(logits, num_classes), head.loss)
    labels = checked_labels(labels, num_classes)
    return per_example(logits, labels, head.label_smoothing, head.loss)


def regression_loss(num_microbatches: int = 1) -> LossFn:
    """Makes the training loss of a regression, like `classification_loss`."""

    def loss_fn(y, labels):
        y = checked_column('predictions', y)
        labels = checked_column('labels', tf.convert_to_tensor(labels))
        squares = tf.math.squared_difference(y, labels)
        return tf.reduce_mean(squares) / num_microbatches, {}

    return loss_fn


def log_probabilities(logits: tf.Tensor, loss: str) -> tf.Tensor:
    """Computes the tensor whose softmax is the probabilities, float32 [B, classes]."""
    return tf.math.log_sigmoid(logits) if loss == 'squared_error' else logits


def per_example(
    logits: tf.Tensor, labels: tf.Tensor, smoothing: float, loss: str
) -> tf.Tensor:
    """Computes the loss of each example.

    Args:
      logits: as returned by `log_probabilities`.
      labels: as returned by `checked_labels`.
      smoothing: label smoothing.
      loss: one of `specs.LOSSES`.

    Returns:
      float32 [B].
    """
    if loss == 'cross_entropy':
        return _cross_entropy(logits, labels, smoothing)
    classes = logits.shape[1]
    if labels.dtype.is_integer:
        # Not `tf.one_hot`: a label out of range would be a row of zeros.
        labels = tf.gather(tf.eye(classes), labels)
    labels = (1.0 - smoothing) * labels + smoothing / classes
    squares = tf.math.squared_difference(tf.exp(logits), labels)
    return tf.reduce_sum(squares, axis=1) / 2.0


def _cross_entropy(logits, labels, smoothing):
    if labels.dtype.is_integer:
        # Not one-hot labels: with them a label out of range would be a row of zeros
        # with a loss of 0, where this op raises (on a GPU: returns NaN).
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    else:
        losses = tf.nn.softmax_cross_entropy_with_logits(labels, logits)
    if smoothing:
        uniform = -tf.reduce_mean(tf.nn.log_softmax(logits), axis=1)
        losses = (1.0 - smoothing) * losses + smoothing * uniform
    return losses


def example_weights(
    labels: tf.Tensor, class_weights: Sequence[float] | None
) -> tf.Tensor | None:
    """Computes the weight of each example, float32 [B]; None without class weights.

    A mixed label has the same mix of the class weights.
    """
    if class_weights is None:
        return None
    weights = tf.constant(class_weights, tf.float32)
    if labels.dtype.is_integer:
        return tf.gather(weights, labels)
    return tf.linalg.matvec(labels, weights)


def weighted_mean(losses: tf.Tensor, weights: tf.Tensor | None) -> tf.Tensor:
    """Computes the loss of a batch from the losses and weights of its examples."""
    if weights is None:
        return tf.reduce_mean(losses)
    return tf.math.divide_no_nan(
        tf.reduce_sum(losses * weights), tf.reduce_sum(weights)
    )


def checked_logits(logits: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Casts logits to float32.

    Raises:
      ValueError: the shape is not [B, num_classes].
    """
    if not logits.shape.is_compatible_with((None, num_classes)):
        raise ValueError(
            f'logits must be [B, {num_classes}] for {num_classes} classes, got '
            f'{logits.shape}'
        )
    return tf.cast(logits, tf.float32)


def checked_labels(labels: tf.Tensor | None, num_classes: int) -> tf.Tensor:
    """Casts labels to int32 or int64 [B], or to float32 [B, num_classes].

    Raises:
      ValueError: no labels, or labels of another shape.
    """
    labels = required_labels(labels)
    if labels.dtype.is_integer:
        expected, fits = '[B]', labels.shape.rank in (None, 1)
        # The loss accepts int32 and int64 only.
        labels = tf.cast(labels, tf.int64) if labels.dtype != tf.int32 else labels
    else:
        expected = f'[B, {num_classes}]'
        fits = labels.shape.is_compatible_with((None, num_classes))
        labels = tf.cast(labels, tf.float32)
    if not fits:
        raise ValueError(
            f'labels of type {labels.dtype.name} must be {expected}, got {labels.shape}'
        )
    return labels


def required_labels(labels: tf.Tensor | None) -> tf.Tensor:
    """Converts labels to a tensor.

    Raises:
      ValueError: no labels.
    """
    if labels is None:
        raise ValueError('training and evaluation require labels, got None')
    return tf.convert_to_tensor(labels)


def checked_column(name: str, x: tf.Tensor) -> tf.Tensor:
    """Casts numbers [B] or [B, 1] to float32 [B].

    Raises:
      ValueError: another shape.
    """
    x = tf.cast(x, tf.float32)
    # Without this, [B] minus [B, 1] is silently [B, B].
    if x.shape.rank == 2 and x.shape[1] == 1:
        x = tf.squeeze(x, axis=1)
    if x.shape.rank != 1:
        raise ValueError(f'{name} must be [B] or [B, 1], got {x.shape}')
    return x


def _replica_mean(x):
    """Computes the mean over the replicas, which is also how gradients are reduced."""
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return x

    # `merge_call` for the reason given in `optimizers.train_op._sum_over_replicas`.
    def merged(strategy, x):
        return strategy.extended.reduce_to(
            tf.distribute.ReduceOp.MEAN, x, destinations=x
        )

    return tf.distribute.get_replica_context().merge_call(merged, args=(x,))
