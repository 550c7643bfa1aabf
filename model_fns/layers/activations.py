"""Activations that TensorFlow does not have, or only in more passes over memory."""

import tensorflow as tf

# Hendrycks and Gimpel, 2016, "Gaussian Error Linear Units", section 2.
_SLOPE = 1.702


@tf.custom_gradient
def quick_gelu(x: tf.Tensor):
    """`x * sigmoid(1.702 x)`, which is GELU to within 0.0204.

    Seven kernels forward and back, where `tf.nn.gelu` has about twenty.

    Args:
        x: of any shape, any floating-point dtype.

    Returns:
        Shape and dtype of `x`.
    """
    scaled = _SLOPE * x
    share = tf.sigmoid(scaled)

    def gradient(upstream):
        # d/dx x s(kx) = s + kx s (1 - s); of the second factor there is a kernel.
        through = tf.raw_ops.SigmoidGrad(y=share, dy=upstream * scaled)
        return upstream * share + through

    return x * share, gradient
