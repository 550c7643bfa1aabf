"""Variables under names that do not depend on where in a graph they are made."""

import tensorflow as tf

v1 = tf.compat.v1


def root():
    """A variable scope without a name, for `with`; reuses where the one around does."""
    # A strategy lets its replicas but the first reuse what the first has made.
    scope = v1.VariableScope(v1.get_variable_scope().reuse, '')
    return v1.variable_scope(scope, auxiliary_name_scope=False)
