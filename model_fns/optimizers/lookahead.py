"""Lookahead: weights that follow the trained ones, which now and then go back to them.

Zhang et al., 2019, "Lookahead Optimizer: k steps forward, 1 step back", with the moving
share of Jordan's airbench (arXiv:2404.00498, section 3.3). The slow weights are kept
where `averaging.py` keeps its averages, under the same names, so that evaluation,
prediction and export read them in the same way.
"""

from collections.abc import Sequence

import tensorflow as tf

v1 = tf.compat.v1


def update(pairs: Sequence, every: int, decay: float, total_steps: int) -> tf.Operation:
    """Brings slow and fast weights together; must run behind the step's update.

    Behind each step `t` that is a multiple of `every`, counted from 1,

        slow = a * slow + (1 - a) * fast;  fast = slow,
        a = decay ** every * (t / total_steps) ** 3,

    but for the first, where a is 0: the slow weights know nothing of the values from
    before a warm start. In between the fast weights alone move; early the slow ones
    hardly hold them back, in the end they move by a quarter of the way (airbench: 5
    and 0.95).

    Args:
        pairs: what `averaging.shadows` returned: (fast, slow).
        every: steps from one time to the next.
        decay: at least 0 and below 1.
        total_steps: steps of the whole run.
    """
    # Read here, behind the increment.
    count = v1.train.get_or_create_global_step().read_value()

    def together():
        progress = tf.cast(count, tf.float64) / total_steps
        kept = decay**every * tf.minimum(progress, 1.0) ** 3
        share = tf.cast(1.0 - tf.where(count > every, kept, 0.0), tf.float32)
        ops = []
        for fast, slow in pairs:
            value, old = fast.read_value(), slow.read_value()
            new = old + tf.cast(share, old.dtype) * (value - old)
            with tf.control_dependencies([new]):
                ops += [
                    slow.assign(new, read_value=False),
                    fast.assign(new, read_value=False),
                ]
        return tf.group(*ops)

    return tf.cond(tf.equal(count % every, 0), together, tf.no_op)
