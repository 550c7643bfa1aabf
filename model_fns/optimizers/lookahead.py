"""Lookahead: slow-moving weights that the trained weights are reset to periodically.

Zhang et al., 2019, "Lookahead Optimizer: k steps forward, 1 step back", with the moving
share of Jordan's airbench (arXiv:2404.00498, section 3.3). The lookahead weights are
stored as the averages of `ema.py` are, under the same names, so that evaluation,
prediction and export read them in the same way.
"""

import tensorflow as tf

from model_fns.optimizers.ema import Averages

v1 = tf.compat.v1


def update(
    averages: Averages, every: int, decay: float, total_steps: int
) -> tf.Operation:
    """Makes the op that synchronizes the weights; it must run after the step's update.

    After each step `t` that is a multiple of `every`, counted from 1,

        lookahead = a * lookahead + (1 - a) * weights;  weights = lookahead,
        a = decay ** every * (t / total_steps) ** 3,

    except the first, where a is 0, so that the lookahead weights do not depend on the
    values before a warm start. In between, only the weights change. Early in training
    the lookahead weights hardly hold them back; at the end they move by a quarter of
    the way (airbench: 5 and 0.95).

    Args:
      averages: from `ema.make_averages`: (weights, lookahead weights).
      every: steps from one synchronization to the next.
      decay: at least 0 and below 1.
      total_steps: steps of the whole run.
    """
    # Read here, after the increment.
    count = v1.train.get_or_create_global_step().read_value()

    def synchronize():
        progress = tf.cast(count, tf.float64) / total_steps
        retained = decay**every * tf.minimum(progress, 1.0) ** 3
        share = tf.cast(1.0 - tf.where(count > every, retained, 0.0), tf.float32)
        ops = []
        for weights, lookahead in averages:
            value, old = weights.read_value(), lookahead.read_value()
            new = old + tf.cast(share, old.dtype) * (value - old)
            with tf.control_dependencies([new]):
                ops += [
                    lookahead.assign(new, read_value=False),
                    weights.assign(new, read_value=False),
                ]
        return tf.group(*ops)

    return tf.cond(tf.equal(count % every, 0), synchronize, tf.no_op)
