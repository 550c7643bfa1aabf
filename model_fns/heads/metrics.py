"""Evaluation metrics that are exact over the whole dataset, whatever the batches.

Each function returns a `Metric`, as required by `eval_metric_ops`. The state is sums
and counts, not means of batches, so that a short last batch has its proper weight.
Counts are int64 and sums float64: float32 stops counting at 2 ** 24.

Under a strategy each replica adds to its own copy; the value is computed from their
sum.
"""

from collections.abc import Sequence

import tensorflow as tf

#: (value, update_op).
Metric = tuple[tf.Tensor, tf.Operation]

v1 = tf.compat.v1

# With more classes only macro F1 and accuracy, because a table of them is unreadable.
MAX_LISTED_CLASSES = 50


def average(name: str, values: tf.Tensor, weights: tf.Tensor | None = None) -> Metric:
    """Computes the mean of a number: sum(weights * values) / sum(weights).

    Args:
      name: of the variables.
      values: floating or boolean [B].
      weights: floating [B]; None: all equal.
    """
    values = tf.cast(values, tf.float64)
    if weights is None:
        weights = tf.ones_like(values)
    weights = tf.cast(weights, tf.float64)
    total = _State(f'{name}/total', tf.float64)
    weight = _State(f'{name}/weight', tf.float64)
    update = tf.group(
        total.add(tf.reduce_sum(values * weights)), weight.add(tf.reduce_sum(weights))
    )
    return _value(tf.math.divide_no_nan, total, weight), update


def root_mean_squared_error(labels: tf.Tensor, predictions: tf.Tensor) -> Metric:
    """Computes the square root of the mean squared difference.

    Args:
      labels: floating [B].
      predictions: floating [B].
    """
    labels, predictions = (tf.cast(x, tf.float64) for x in (labels, predictions))
    total = _State('root_mean_squared_error/total', tf.float64)
    count = _State('root_mean_squared_error/count', tf.int64)
    update = tf.group(
        total.add(tf.reduce_sum(tf.square(predictions - labels))),
        count.add(tf.size(labels, tf.int64)),
    )

    def value(total, count):
        return tf.sqrt(tf.math.divide_no_nan(total, tf.cast(count, tf.float64)))

    return _value(value, total, count), update


def accuracy(labels: tf.Tensor, predictions: tf.Tensor) -> Metric:
    """Computes the share of examples with a correct prediction.

    Args:
      labels: int64 [B].
      predictions: int64 [B].
    """
    return average('accuracy', tf.equal(labels, predictions))


def top_k_accuracy(labels: tf.Tensor, scores: tf.Tensor, k: int) -> Metric:
    """Computes the share of examples whose class is among the `k` highest scores.

    Args:
      labels: int64 [B].
      scores: floating [B, classes].
      k: number of classes; among equal scores the lower class comes first.
    """
    best = tf.cast(tf.math.top_k(scores, k).indices, labels.dtype)
    hit = tf.reduce_any(tf.equal(best, labels[:, tf.newaxis]), axis=1)
    return average(f'top_{k}_accuracy', hit)


def by_class(
    labels: tf.Tensor, predictions: tf.Tensor, class_names: Sequence[str]
) -> dict[str, Metric]:
    """Computes precision and recall of each class, and macro F1.

    They share three counts per class, not a confusion matrix, which would be larger by
    a factor of the number of classes.

    Args:
      labels: int64 [B].
      predictions: int64 [B].
      class_names: one for each class, in order.

    Returns:
      `macro_f1`, the mean of F1 over the classes that occur among the labels or the
      predictions (as scikit-learn's `average='macro'`); and, up to
      `MAX_LISTED_CLASSES` classes, `precision/<name>` and `recall/<name>`, which are 0
      where they are 0 / 0, and `examples/<name>`, the number of examples of the class.
    """
    classes = len(class_names)
    hits = _State('by_class/hits', tf.int64, (classes,))
    predicted = _State('by_class/predicted', tf.int64, (classes,))
    actual = _State('by_class/actual', tf.int64, (classes,))
    correct = tf.boolean_mask(labels, tf.equal(labels, predictions))
    update = tf.group(
        hits.add(_count(correct, classes)),
        predicted.add(_count(predictions, classes)),
        actual.add(_count(labels, classes)),
    )

    def macro_f1(hits, predicted, actual):
        # 2 hits / (predicted + actual) is the harmonic mean of precision and recall.
        f1 = _divide(2 * hits, predicted + actual)
        occurs = tf.math.count_nonzero(predicted + actual, dtype=tf.int64)
        return _divide(tf.reduce_sum(f1), occurs)

    metrics = {'macro_f1': (_value(macro_f1, hits, predicted, actual), update)}
    if classes <= MAX_LISTED_CLASSES:
        precision = _value(_shares, hits, predicted)
        recall = _value(_shares, hits, actual)
        examples = _value(tf.unstack, actual)
        for i, name in enumerate(class_names):
            metrics[f'precision/{name}'] = (precision[i], update)
            metrics[f'recall/{name}'] = (recall[i], update)
            metrics[f'examples/{name}'] = (examples[i], update)
    return metrics


def expected_calibration_error(
    labels: tf.Tensor, probabilities: tf.Tensor, bins: int = 15
) -> Metric:
    """Computes the difference of confidence and accuracy (Guo et al., 2017, eq. 3).

    The examples are divided by the probability of their predicted class into `bins`
    equal intervals, each open below and closed above; the error is the mean over the
    examples of |accuracy - mean confidence| of their bin.

    Args:
      labels: int64 [B].
      probabilities: floating [B, classes].
      bins: 15, as in the paper's tables.
    """
    confidence = tf.cast(tf.reduce_max(probabilities, axis=1), tf.float64)
    predicted = tf.argmax(probabilities, axis=1, output_type=labels.dtype)
    correct = tf.equal(labels, predicted)
    index = tf.cast(tf.math.ceil(confidence * bins), tf.int64) - 1
    index = tf.clip_by_value(index, 0, bins - 1)
    count = _State('calibration/count', tf.int64, (bins,))
    hits = _State('calibration/hits', tf.int64, (bins,))
    total = _State('calibration/confidence', tf.float64, (bins,))
    update = tf.group(
        count.add(_count(index, bins)),
        hits.add(_count(tf.boolean_mask(index, correct), bins)),
        total.add(tf.math.unsorted_segment_sum(confidence, index, bins)),
    )

    def value(count, hits, total):
        # count / n * |hits / count - total / count|, where the count cancels.
        gap = tf.abs(tf.cast(hits, tf.float64) - total)
        return _divide(tf.reduce_sum(gap), tf.reduce_sum(count))

    return _value(value, count, hits, total), update


class _State:
    """A local variable that starts at 0: a copy per replica, read as their sum."""

    def __init__(self, name: str, dtype: tf.DType, shape: tuple[int, ...] = ()) -> None:
        self.variable = v1.Variable(
            lambda: tf.zeros(shape, dtype),
            trainable=False,
            collections=[v1.GraphKeys.LOCAL_VARIABLES, v1.GraphKeys.METRIC_VARIABLES],
            name=name,
            dtype=dtype,
            use_resource=True,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.SUM,
        )

    def add(self, amount):
        return self.variable.assign_add(amount, read_value=False)


def _value(function, *states):
    """Computes `function` of the states, each summed over the replicas."""

    # In `merge_call` a variable that is ON_READ has the sum over all replicas; outside
    # of it, the copy of the replica. A tensor that is computed from the result outside
    # would be one per replica again, which Estimator cannot read.
    def merged(_, *variables):
        return function(*(tf.convert_to_tensor(variable) for variable in variables))

    context = tf.distribute.get_replica_context()
    return context.merge_call(merged, args=[state.variable for state in states])


def _count(index, size):
    """Counts the occurrences of each number below `size`, int64 [size]."""
    ones = tf.ones_like(index, tf.int64)
    return tf.math.unsorted_segment_sum(ones, index, size)


def _shares(count, total):
    return tf.unstack(_divide(count, total))


def _divide(x, y):
    return tf.math.divide_no_nan(tf.cast(x, tf.float64), tf.cast(y, tf.float64))
