"""Muon: momentum with orthogonalized updates."""

import math
import re
from collections.abc import Callable

import tensorflow as tf

from estimator_clf.core.variable_patterns import name_of
from model_fns.optimizers.adamw import AdamW

v1 = tf.compat.v1

# Adam's learning rate as a share of Muon's; common values are 0.001 and 0.02.
ADAM_SHARE = 0.05

# The last layer. Its columns belong to classes, and their sizes reflect the frequencies
# of the classes, which equal weights for all directions would remove.
_LAST = re.compile('(^|/)(logits|y)/')

# Jordan's coefficients, which rise the fastest from 0: five iterations bring the
# singular values to between 0.7 and 1.2, and exactly 1 would have no advantage.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5
_EPSILON = 1e-7


class Muon(AdamW):
    """Muon for matrices and convolution kernels, AdamW for all other variables.

    Jordan et al., 2024, "Muon: An optimizer for hidden layers in neural networks"
    (kellerjordan.github.io/posts/muon). Kernels [height, width, inputs, outputs] are
    reshaped to matrices [height * width * inputs, outputs]. In each step

        m = momentum * m + gradient
        w -= learning_rate * weight_decay * w
        w -= learning_rate * sqrt(max(1, outputs / inputs))
             * newton_schulz_orthogonalize(gradient + momentum * m)

    AdamW trains the last layer, all variables of rank 1, such as biases, and those with
    one input or one output (depthwise kernels), with `ADAM_SHARE` of the learning rate
    and with `momentum` for both of its decays.
    """

    def __init__(
        self,
        learning_rate: float | tf.Tensor,
        momentum: float,
        decay_of: Callable[[str, int], float],
        epsilon: float = 1e-8,
        normalize_weights: bool = False,
    ) -> None:
        """Makes the optimizer.

        Args:
          learning_rate: number or float32 scalar.
          momentum: see the class.
          decay_of: see the class and `AdamW`.
          epsilon: Adam's.
          normalize_weights: scale Muon's matrices to a norm of sqrt(outputs) before
            each step. Where batch normalization follows, which is invariant to the
            scale, the learning rate is then the relative change of a matrix; elsewhere
            it restricts the network to this scale.
        """
        super().__init__(
            learning_rate * ADAM_SHARE,
            decay_of,
            beta1=momentum,
            beta2=momentum,
            epsilon=epsilon,
            name='Muon',
        )
        self._rate = learning_rate
        self._momentum = momentum
        self._normalize_weights = normalize_weights

    def _create_slots(self, var_list):
        rest = [var for var in var_list if not _is_matrix(var)]
        self._has_adam = bool(rest)
        if rest:
            super()._create_slots(rest)
        for var in var_list:
            if _is_matrix(var):
                self._zeros_slot(var, 'momentum', self._name)

    def _finish(self, update_ops, name_scope):
        if self._has_adam:
            return super()._finish(update_ops, name_scope)
        # Without the powers of beta, which Adam would update here.
        return tf.group(*update_ops, name=name_scope)

    # At this level for the reason given in `AdamW`.
    def _resource_apply_dense(self, grad, var):
        if not _is_matrix(var):
            return super()._resource_apply_dense(grad, var)
        outputs = var.shape[-1]
        inputs = var.shape.num_elements() // outputs
        slot = self.get_slot(var, 'momentum')
        moment = self._momentum * slot.read_value() + grad
        direction = tf.reshape(grad + self._momentum * moment, [inputs, outputs])
        # After the gradient, which is that of the weights before the step.
        with tf.control_dependencies([grad]):
            weights = var.read_value()
        if self._normalize_weights:
            norm = tf.norm(weights)
            weights *= tf.math.divide_no_nan(math.sqrt(outputs), norm)
        rate = tf.cast(self._rate, var.dtype.base_dtype)
        weight_decay = self._decay_of(name_of(var), var.shape.rank)
        if weight_decay:
            weights -= rate * weight_decay * weights
        rate *= math.sqrt(max(1.0, outputs / inputs))
        weights -= rate * tf.reshape(newton_schulz_orthogonalize(direction), var.shape)
        with tf.control_dependencies([moment, weights]):
            return tf.group(
                slot.assign(moment, read_value=False),
                var.assign(weights, read_value=False),
            )


def newton_schulz_orthogonalize(matrix: tf.Tensor) -> tf.Tensor:
    """Brings all singular values of a matrix close to 1, by matrix products alone.

    Five Newton-Schulz iterations of fifth order: a matrix with the singular value
    decomposition U S V' becomes U T V', with T between 0.7 and 1.2 where S is not below
    a hundredth of its norm. See `Muon`.

    Args:
      matrix: float32 [rows, columns].

    Returns:
      float32 [rows, columns]; zeros for zeros.
    """
    rows, columns = matrix.shape
    x = matrix / (tf.norm(matrix) + _EPSILON)
    if rows > columns:
        x = tf.transpose(x)
    for _ in range(_ITERATIONS):
        square = tf.matmul(x, x, transpose_b=True)
        x = _A * x + tf.matmul(_B * square + _C * tf.matmul(square, square), x)
    return tf.transpose(x) if rows > columns else x


def _is_matrix(var):
    """Returns whether Muon trains a variable.

    The same for the variable of a strategy and for its copies.
    """
    if var.shape.rank < 2 or _LAST.search(name_of(var)):
        return False
    outputs = var.shape[-1]
    return min(outputs, var.shape.num_elements() // outputs) > 1
