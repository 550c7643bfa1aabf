"""Adam with decoupled weight decay."""

from collections.abc import Callable

import tensorflow as tf

from estimator_clf.core.variable_patterns import name_of

v1 = tf.compat.v1


class AdamW(v1.train.AdamOptimizer):  # type: ignore[name-defined]
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019, algorithm 2).

    Before each step `w -= learning_rate * weight_decay * w`: the learning rate replaces
    the paper's schedule multiplier, as in PyTorch and Keras, so that a decay tuned
    there can be used here.
    """

    def __init__(
        self,
        learning_rate: float | tf.Tensor,
        decay_of: Callable[[str, int], float],
        **kwargs: object,
    ) -> None:
        """Makes the optimizer.

        Args:
          learning_rate: number or float32 scalar.
          decay_of: function (name, rank) -> weight decay of the variable.
          **kwargs: of `AdamOptimizer`.
        """
        super().__init__(learning_rate, **{'name': 'AdamW', **kwargs})
        self._decay_of = decay_of

    # At this level, not around `apply_gradients`: here a strategy has already summed
    # the gradients, and `var` is the one copy to change.
    def _resource_apply_dense(self, grad, var):
        weight_decay = self._decay_of(name_of(var), var.shape.rank)
        if not weight_decay:
            return super()._resource_apply_dense(grad, var)
        rate = tf.cast(self._lr_t, var.dtype.base_dtype)
        # After the gradient, which is that of the weights before the decay. Without
        # this dependency the decay could run before the network reads the weights.
        with tf.control_dependencies([grad]):
            decay = var.assign_sub(
                rate * weight_decay * var.read_value(), read_value=False
            )
        with tf.control_dependencies([decay]):
            return super()._resource_apply_dense(grad, var)
