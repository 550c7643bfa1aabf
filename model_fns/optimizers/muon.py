"""Muon: momentum whose matrices are made orthogonal."""

import math
import re

import tensorflow as tf

from estimator_clf.core.variable_patterns import name_of
from model_fns.optimizers.adamw import AdamW

v1 = tf.compat.v1

# Adam's learning rate, as a share of Muon's: 0.02 and 0.001 are usual.
ADAM_SHARE = 0.05

# The last layer. Its rows belong to classes, whose sizes say how often they come: to
# give all directions the same weight would do away with that.
_LAST = re.compile('(^|/)(logits|y)/')

# Jordan's coefficients, which rise the fastest from 0: five rounds bring the singular
# values to between 0.7 and 1.2, and 1 exactly is of no use.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ROUNDS = 5
_EPSILON = 1e-7


class Muon(AdamW):
    """Muon for matrices and filters, AdamW for all else.

    Jordan et al., 2024, "Muon: An optimizer for hidden layers in neural networks"
    (kellerjordan.github.io/posts/muon). Filters [height, width, inputs, outputs] are
    taken for matrices [height * width * inputs, outputs]. At each step

        m = momentum * m + gradient
        w -= learning_rate * weight_decay * w
        w -= learning_rate * sqrt(max(1, outputs / inputs))
             * newton_schulz_orthogonalize(gradient + momentum * m)

    The last layer, biases, whatever else has one dimension, and what has one input or
    one output (depthwise filters) go to AdamW, with `ADAM_SHARE` of the learning rate
    and with `momentum` for both of its decays.
    """

    def __init__(
        self,
        learning_rate,
        momentum,
        decay_of,
        epsilon=1e-8,
        rescale=False,
    ):
        """Makes the optimizer.

        Args:
            learning_rate: number or float32 scalar tensor.
            momentum: see the class.
            decay_of: see the class and `AdamW`.
            epsilon: Adam's.
            rescale: scale Muon's matrices to a norm of sqrt(outputs) before each step.
                Where batch normalization follows, which takes their size away again,
                the learning rate is then by how much a matrix may change, relative to
                itself; elsewhere it forbids the network all other sizes.
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
        self._rescale = rescale

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
        # Without the powers of beta, which Adam would change here.
        return tf.group(*update_ops, name=name_scope)

    # At this depth for the reason AdamW has.
    def _resource_apply_dense(self, grad, var):
        if not _is_matrix(var):
            return super()._resource_apply_dense(grad, var)
        outputs = var.shape[-1]
        inputs = var.shape.num_elements() // outputs
        slot = self.get_slot(var, 'momentum')
        moment = self._momentum * slot.read_value() + grad
        direction = tf.reshape(grad + self._momentum * moment, [inputs, outputs])
        # Behind the gradient: it is that of the weights before they change.
        with tf.control_dependencies([grad]):
            weights = var.read_value()
        if self._rescale:
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
    """Brings all singular values of a matrix near to 1, by products of matrices alone.

    Five rounds of Newton's and Schulz's iteration, to the fifth power: of the singular
    value decomposition U S V' comes U T V', the T between 0.7 and 1.2 where S was not
    below a hundredth of its norm. See `Muon`.

    Args:
        matrix: float32 [rows, columns].

    Returns:
        float32 [rows, columns]; zeros of zeros.
    """
    rows, columns = matrix.shape
    x = matrix / (tf.norm(matrix) + _EPSILON)
    if rows > columns:
        x = tf.transpose(x)
    for _ in range(_ROUNDS):
        square = tf.matmul(x, x, transpose_b=True)
        x = _A * x + tf.matmul(_B * square + _C * tf.matmul(square, square), x)
    return tf.transpose(x) if rows > columns else x


def _is_matrix(var):
    """Whether it is Muon's; the same of a strategy's variable and of its copies."""
    if var.shape.rank < 2 or _LAST.search(name_of(var)):
        return False
    outputs = var.shape[-1]
    return min(outputs, var.shape.num_elements() // outputs) > 1
