"""Dynamic loss scaling: float16 gradients that neither underflow nor overflow."""

from collections.abc import Sequence

import tensorflow as tf

from estimator_clf.core import variable_scopes

v1 = tf.compat.v1

# Micikevicius et al., 2018, section 3.2, and the numbers of NVIDIA's apex.amp, except
# the start, which is 2 ** 16 there.
START = 2.0**15
PERIOD = 2000
LARGEST = 2.0**24


class LossScale:
    """The factor of the loss before its gradient is computed.

    float16 has no numbers below 6e-8, so that small gradients become 0; those of a
    larger loss do not. A gradient that is not finite means that the scale is too
    large: the step is skipped and the scale halved. After 2,000 finite steps in a row
    it is doubled. Both numbers are variables, and so in the checkpoint.

    A scale of 1 is not halved: a gradient that is not finite at this scale is not
    caused by it and is applied, so that the run stops for weights that are not finite
    instead of skipping all steps.

    Attributes:
      value: the scale of this step, float32 scalar.
    """

    def __init__(self, start: float = START, period: int = PERIOD) -> None:
        """Makes the variables `loss_scale/value` and `loss_scale/good_steps`.

        Args:
          start: the first scale, a power of two, so that scaling does not round.
          period: finite steps in a row before the scale is doubled.
        """
        self._period = period
        with variable_scopes.root():
            self._value = _variable('loss_scale/value', start, tf.float32)
            self._good_steps = _variable('loss_scale/good_steps', 0, tf.int64)
        # Read once: the gradient must be divided by the factor of the loss.
        self.value = self._value.read_value()

    def unscaled(self, gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Divides float32 gradients of the scaled loss by the scale."""
        return [gradient / self.value for gradient in gradients]

    def is_step_valid(self, gradients: Sequence[tf.Tensor]) -> tf.Tensor:
        """Computes whether to apply these gradients of all replicas, a bool scalar."""
        self._finite = tf.reduce_all(
            tf.stack([tf.reduce_all(tf.math.is_finite(g)) for g in gradients])
        )
        return tf.logical_or(self._finite, self.value <= 1.0)

    def update(self) -> tf.Operation:
        """Makes the op that sets the scale of the next step.

        Called once, after `is_step_valid`.
        """
        # The gradients depend on `value`, and this on the gradients, so that the
        # variable is not written too early.
        with tf.control_dependencies([self._finite]):
            good_steps = self._good_steps.read_value() + 1
        doubled = good_steps >= self._period
        value = tf.where(
            self._finite,
            tf.where(doubled, tf.minimum(self.value * 2.0, LARGEST), self.value),
            tf.maximum(self.value / 2.0, 1.0),
        )
        counting = tf.logical_and(self._finite, tf.logical_not(doubled))
        good_steps = tf.where(counting, good_steps, tf.zeros_like(good_steps))
        return tf.group(
            self._value.assign(value, read_value=False),
            self._good_steps.assign(good_steps, read_value=False),
        )


def _variable(name, start, dtype):
    return v1.get_variable(
        name,
        (),
        dtype,
        initializer=v1.constant_initializer(start),
        trainable=False,
        use_resource=True,
        # Every replica has the same gradients and computes the same numbers.
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
