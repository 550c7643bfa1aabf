"""Exponential moving averages of the weights: training moves them, the rest reads them.

A variable `NAME` has its average in `NAME/ExponentialMovingAverage`, as with
`tf.train.ExponentialMovingAverage`. Training keeps the raw weights. Evaluation,
prediction and export build the network inside `reading()`, where every variable *is*
its average, by name: a Saver, an exporter or a bare Estimator gets the averages without
knowing of them.
"""

import contextlib
from collections.abc import Callable, Sequence

import tensorflow as tf

from estimator_clf.core import variable_scopes
from estimator_clf.core.variable_patterns import name_of

v1 = tf.compat.v1

SUFFIX = '/ExponentialMovingAverage'


def owner_of(name: str) -> str:
    """The name of the variable that a variable is the average of; or its own name."""
    return name.removesuffix(SUFFIX)


def shadows(variables: Sequence[tf.Variable]) -> list[tf.Variable]:
    """Makes the averages' variables; they start equal to the variables' first values.

    Args:
        variables: floating variables; averages among them, and variables of another
            type, are left out.

    Returns:
        List of pairs (variable, average).
    """
    return [(v, _shadow(v)) for v in variables if _has_average(name_of(v), v.dtype)]


def update(pairs, decay: float, applied: tf.Tensor | None = None) -> tf.Operation:
    """Moves the averages; must run behind the step's update of the weights.

    `average = d * average + (1 - d) * variable`, where after step `t`, counted from 1,
    `d = min(decay, (t - 1) / (t + 8))`. That is TensorFlow's own warm-up,
    `(1 + n) / (10 + n)` after n updates, behind a first one that copies: so the average
    knows nothing of the values from before a warm start, and the early weights,
    which are soon wrong, are soon forgotten.

    Args:
        pairs: what `shadows` returned.
        decay: at least 0 and below 1.
        applied: bool scalar: where it is false the step has changed nothing and the
            averages stay; None: it always has.
    """
    # Read here, behind the increment. float64, in which all steps are exact.
    count = tf.cast(v1.train.get_or_create_global_step().read_value(), tf.float64)
    decay = tf.minimum(tf.constant(decay, tf.float64), (count - 1.0) / (count + 8.0))
    share = tf.cast(1.0 - decay, tf.float32)
    if applied is not None:
        share = tf.where(tf.logical_or(applied, count <= 1.0), share, 0.0)
    return tf.group(
        *(
            average.assign_sub(
                tf.cast(share, average.dtype) * (average - variable.read_value()),
                read_value=False,
            )
            for variable, average in pairs
        )
    )


@contextlib.contextmanager
def reading(left_out: Callable[[str], bool] = lambda name: False):
    """Lets every floating variable that is made inside be its average.

    Args:
        left_out: function (name) -> whether the variable has no average.
    """

    def creator(next_creator, **kwargs):
        name = kwargs.get('name')
        if name and not left_out(name) and _has_average(name, _dtype(kwargs)):
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


def _shadow(variable):
    # From the root: the name is whole already.
    with variable_scopes.root():
        return v1.get_variable(
            name_of(variable) + SUFFIX,
            initializer=variable.initial_value,
            trainable=False,
            use_resource=True,
            # Under a strategy each replica has its own average. Those of the weights
            # are all the same; the mean of three same numbers need not be that number.
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
            if variable.trainable
            else tf.VariableAggregation.MEAN,
        )
