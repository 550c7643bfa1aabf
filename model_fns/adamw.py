"""Adam with decoupled weight decay."""

import tensorflow as tf

v1 = tf.compat.v1


class AdamW(v1.train.AdamOptimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019, algorithm 2).

    Before each step `w -= learning_rate * weight_decay * w`: the learning rate takes
    the place of the paper's schedule multiplier, as in PyTorch and Keras, so that a
    decay found there can be used here.
    """

    def __init__(self, learning_rate, weight_decay, decay_min_rank=2, **kwargs):
        """Makes the optimizer.

        Args:
            learning_rate: number or float32 scalar tensor.
            weight_decay: see the class.
            decay_min_rank: variables of a lower rank do not decay.
            **kwargs: of `AdamOptimizer`.
        """
        super().__init__(learning_rate, **{'name': 'AdamW', **kwargs})
        self._weight_decay = weight_decay
        self._decay_min_rank = decay_min_rank

    # At this depth, and not around `apply_gradients`, because here a strategy has
    # already summed the gradients and `var` is the one copy that is to be changed.
    def _resource_apply_dense(self, grad, var):
        if self._weight_decay == 0 or var.shape.rank < self._decay_min_rank:
            return super()._resource_apply_dense(grad, var)
        rate = tf.cast(self._lr_t, var.dtype.base_dtype)
        # Behind the gradient: it is that of the weights before the decay, and nothing
        # else keeps the decay from running before the network has read them.
        with tf.control_dependencies([grad]):
            decay = var.assign_sub(
                rate * self._weight_decay * var.read_value(), read_value=False
            )
        with tf.control_dependencies([decay]):
            return super()._resource_apply_dense(grad, var)
