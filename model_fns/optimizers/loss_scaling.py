"""Dynamic loss scaling: float16 gradients that neither vanish nor overflow."""

from collections.abc import Sequence

import tensorflow as tf

from estimator_clf.core import variable_scopes

v1 = tf.compat.v1

# Micikevicius et al., 2018, section 3.2, and the numbers of NVIDIA's apex.amp, but for
# the start, which there is 2 ** 16.
START = 2.0**15
PERIOD = 2000
LARGEST = 2.0**24


class LossScale:
    """The number by which the loss is multiplied before its gradient is taken.

    float16 has no numbers below 6e-8, so that small gradients become 0; those of a
    larger loss do not. A gradient that is not finite means that the scale is too
    large: the step is skipped and the scale halved. After 2,000 finite steps in a row
    it is doubled. Both numbers are variables, so that they are in the checkpoint.

    At a scale of 1 there is nothing left to halve: a gradient that is not finite even
    there is no overflow of scaling, and is applied, so that the run stops for weights
    that are not finite instead of standing still for ever.
    """

    def __init__(self, start: float = START, period: int = PERIOD):
        """Makes the variables `loss_scale/value` and `loss_scale/good_steps`.

        Args:
            start: the first scale, a power of two: then scaling rounds nothing.
            period: finite steps in a row before the scale is doubled.
        """
        self._period = period
        with variable_scopes.root():
            self._value = _variable('loss_scale/value', start, tf.float32)
            self._good = _variable('loss_scale/good_steps', 0, tf.int64)
        # Read once: what multiplies the loss must divide the gradient.
        self.value = self._value.read_value()

    def unscaled(self, gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Divides float32 gradients of the scaled loss by the scale."""
        return [gradient / self.value for gradient in gradients]

    def is_step_valid(self, gradients: Sequence[tf.Tensor]) -> tf.Tensor:
        """bool scalar: whether these gradients, of all replicas, are to be applied."""
        self._finite = tf.reduce_all(
            tf.stack([tf.reduce_all(tf.math.is_finite(g)) for g in gradients])
        )
        return tf.logical_or(self._finite, self.value <= 1.0)

    def update(self) -> tf.Operation:
        """The op that sets the next step's scale; once, after `applied`."""
        # The gradients hang on `value`, this on them: so it cannot be written too soon.
        with tf.control_dependencies([self._finite]):
            good = self._good.read_value() + 1
        doubled = good >= self._period
        value = tf.where(
            self._finite,
            tf.where(doubled, tf.minimum(self.value * 2.0, LARGEST), self.value),
            tf.maximum(self.value / 2.0, 1.0),
        )
        kept = tf.logical_and(self._finite, tf.logical_not(doubled))
        good = tf.where(kept, good, tf.zeros_like(good))
        return tf.group(
            self._value.assign(value, read_value=False),
            self._good.assign(good, read_value=False),
        )


def _variable(name, start, dtype):
    return v1.get_variable(
        name,
        (),
        dtype,
        initializer=v1.constant_initializer(start),
        trainable=False,
        use_resource=True,
        # Every replica sees the same gradients and comes to the same numbers.
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
