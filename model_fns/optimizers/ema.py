"""Exponential moving averages (EMA) of the weights, for evaluation and export.

A variable `NAME` has its average in `NAME/ExponentialMovingAverage`, as with
`tf.train.ExponentialMovingAverage`. Training uses the raw weights. Evaluation,
prediction and export build the network inside `read_averages()`, where each variable
*is* its average, by name: a Saver, an exporter or a bare Estimator restores the
averages without special handling.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from estimator_clf.core import variable_scopes
from estimator_clf.core.variable_patterns import name_of

v1 = tf.compat.v1

SUFFIX = '/ExponentialMovingAverage'

#: Pairs (variable, average).
Averages = list[tuple[tf.Variable, tf.Variable]]


def owner_of(name: str) -> str:
    """Returns the name of the variable that `name` is the average of, or `name`."""
    return name.removesuffix(SUFFIX)


def make_averages(variables: Sequence[tf.Variable]) -> Averages:
    """Makes the averages, which start at the initial values of the variables.

    Args:
      variables: averages among them, and variables that are not floating, are skipped.
    """
    return [(v, _average_of(v)) for v in variables if _has_average(name_of(v), v.dtype)]


def update(
    averages: Averages, decay: float, is_step_valid: tf.Tensor | None = None
) -> tf.Operation:
    """Makes the op that updates the averages; it must run after the step's update.

    `average = d * average + (1 - d) * variable`, where after step `t`, counted from 1,
    `d = min(decay, (t - 1) / (t + 8))`. That is TensorFlow's own warm-up,
    `(1 + n) / (10 + n)` after n updates, after a first update that copies: the average
    does not depend on the values before a warm start, and early weights lose their
    influence soon.

    Args:
      averages: from `make_averages`.
      decay: at least 0 and below 1.
      is_step_valid: bool scalar; where false, the step has changed nothing and the
        averages stay. None: always true.
    """
    # Read here, after the increment. float64 represents all steps exactly.
    count = tf.cast(v1.train.get_or_create_global_step().read_value(), tf.float64)
    decay = tf.minimum(tf.constant(decay, tf.float64), (count - 1.0) / (count + 8.0))
    share = tf.cast(1.0 - decay, tf.float32)
    if is_step_valid is not None:
        share = tf.where(tf.logical_or(is_step_valid, count <= 1.0), share, 0.0)
    return tf.group(
        *(
            average.assign_sub(
                tf.cast(share, average.dtype) * (average - variable.read_value()),
                read_value=False,
            )
            for variable, average in averages
        )
    )


@contextlib.contextmanager
def read_averages(excluded: Callable[[str], bool] = lambda name: False) -> Iterator:
    """Replaces each floating variable that is made in this context by its average.

    Args:
      excluded: function (name) -> whether the variable has no average.
    """

    def creator(next_creator, **kwargs):
        name = kwargs.get('name')
        if name and not excluded(name) and _has_average(name, _dtype(kwargs)):
            kwargs['name'] = name + SUFFIX
        return next_creator(**kwargs)

    with tf.variable_creator_scope(creator):
        yield


def _has_average(name, dtype):
    return dtype.is_floating and not name.endswith(SUFFIX)


def _dtype(kwargs):
    if kwargs.get('dtype') is not None:
        return tf.as_dtype(kwargs['dtype'])
    value = kwargs['initial_value']
    return tf.convert_to_tensor(value() if callable(value) else value).dtype


def _average_of(variable):
    # From the root scope, because the name is complete.
    with variable_scopes.root():
        return v1.get_variable(
            name_of(variable) + SUFFIX,
            initializer=variable.initial_value,
            trainable=False,
            use_resource=True,
            # Under a strategy each replica has its own average. Those of the weights
            # are equal, but the mean of three equal numbers need not be that number.
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
            if variable.trainable
            else tf.VariableAggregation.MEAN,
        )
