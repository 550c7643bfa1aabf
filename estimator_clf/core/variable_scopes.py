"""Variable scopes that make names independent of the enclosing scopes."""

import contextlib

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

v1 = tf.compat.v1


def root() -> contextlib.AbstractContextManager:
    """Returns the unnamed variable scope, with `reuse` of the enclosing one."""
    # Under a strategy, all replicas but the first reuse its variables.
    scope = v1.VariableScope(v1.get_variable_scope().reuse, '')
    return v1.variable_scope(scope, auxiliary_name_scope=False)
