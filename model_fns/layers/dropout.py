"""Dropout whose mask is a function of a seed."""

import tensorflow as tf

from model_fns.layers.initializers import RNG


def dropout(
    x: tf.Tensor, rate: float, seed: tf.Tensor, per_example: bool = False
) -> tf.Tensor:
    """Sets a share of the values to 0 (Srivastava et al., 2014).

    Args:
      x: floating, any shape.
      rate: share of the values that become 0, above 0 and below 1; the others are
        multiplied by 1 / (1 - rate).
      seed: int64 [2].
      per_example: drop all values of an example or none (stochastic depth, Huang et
        al., 2016).

    Returns:
      Shape and dtype of `x`.
    """
    shape = tf.shape(x)
    if per_example:
        shape = tf.concat([shape[:1], tf.ones_like(shape[1:])], 0)
    # Sampling is most of the cost, so each 32 random bits decide on two values: to
    # 2^-16 the share is exact. Not `tf.nn.experimental.stateless_dropout`, which
    # samples 32 for each, and for which XLA makes other floats of the same bits.
    count = tf.reduce_prod(shape)
    bits = tf.random.stateless_uniform(
        [(count + 1) // 2], seed, None, None, tf.int32, alg=RNG
    )
    halves = tf.reshape(tf.bitcast(bits, tf.int16), [-1])[:count]
    threshold = min(round(rate * 2**16), 2**16 - 1) - 2**15
    kept = tf.cast(tf.reshape(halves, shape) >= threshold, x.dtype)
    # A product: `tf.where` takes somewhat longer.
    dropped = x * (kept * tf.cast(1.0 / (1.0 - rate), x.dtype))
    dropped.set_shape(x.shape)
    return dropped
