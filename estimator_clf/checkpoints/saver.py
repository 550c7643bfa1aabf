"""Saver for the weights of an `EstimatorSpec`."""

from estimator_clf.compat import estimator

import tensorflow as tf

v1 = tf.compat.v1


def saver_of(spec: estimator.EstimatorSpec) -> tf.compat.v1.train.Saver:
    """Returns the Saver of a spec's scaffold, as Estimator does, or else a plain one.

    That of a scaffold may restore a variable under another name, such as a weight from
    its moving average.

    Args:
      spec: made in the current graph.
    """
    scaffold = spec.scaffold
    if scaffold is not None and isinstance(scaffold.saver, v1.train.Saver):
        scaffold.saver.build()  # It may be deferred.
        return scaffold.saver
    return v1.train.Saver(v1.global_variables())
