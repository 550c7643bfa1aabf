"""Which Saver the weights of a spec are restored with."""

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import tensorflow as tf

v1 = tf.compat.v1


def saver_of(spec):
    """The Saver of a spec's scaffold, which Estimator itself takes, or a plain one.

    A scaffold's may restore one variable from another, such as a weight from its moving
    average.

    Args:
      spec: `EstimatorSpec`, in whose graph this is called.
    """
    scaffold = spec.scaffold
    if scaffold is not None and isinstance(scaffold.saver, v1.train.Saver):
        scaffold.saver.build()  # Which may have been put off.
        return scaffold.saver
    return v1.train.Saver(v1.global_variables())
