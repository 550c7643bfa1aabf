"""Adam with decoupled weight decay."""

from collections.abc import Callable

import tensorflow as tf

from estimator_clf.core.variable_patterns import name_of

v1 = tf.compat.v1


class AdamW(v1.train.AdamOptimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019, algorithm 2).

    Before each step `w -= learning_rate * weight_decay * w`: the learning rate takes
    the place of the paper's schedule multiplier, as in PyTorch and Keras, so that a
    decay found there can be used here.
    """

    def __init__(self, learning_rate, decay_of: Callable[[str, int], float], **kwargs):
        """Makes the optimizer.

        Args:
            learning_rate: number or float32 scalar tensor.
            decay_of: function (name, rank) -> weight decay of such a variable.
            **kwargs: of `AdamOptimizer`.
        """
        super().__init__(learning_rate, **{'name': 'AdamW', **kwargs})
        self._decay_of = decay_of

    # At this depth, and not around `apply_gradients`, because here a strategy has
    # already summed the gradients and `var` is the one copy that is to be changed.
    def _resource_apply_dense(self, grad, var):
        weight_decay = self._decay_of(name_of(var), var.shape.rank)
        if not weight_decay:
            return super()._resource_apply_dense(grad, var)
        rate = tf.cast(self._lr_t, var.dtype.base_dtype)
        # Behind the gradient: it is that of the weights before the decay, and nothing
        # else keeps the decay from running before the network has read them.
        with tf.control_dependencies([grad]):
            decay = var.assign_sub(
                rate * weight_decay * var.read_value(), read_value=False
            )
        with tf.control_dependencies([decay]):
            return super()._resource_apply_dense(grad, var)
