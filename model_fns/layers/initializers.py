"""Initial values of variables, and the seeds of random ops.

Both are functions of (seed, name) alone: the initial values of a weight depend neither
on the graph's seed nor on how many ops the input pipeline made before.
"""

import hashlib
import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from estimator_clf.core import errors

#: The generator of all random ops. Fixed, because the default is another one, with
#: other numbers, on each device.
RNG = 'philox'

# The standard deviation of a standard normal truncated at two deviations; dividing by
# it restores a deviation of 1. From scipy.stats.truncnorm.std(-2, 2).
_TRUNCATED_STDDEV = 0.87962566103423978

# Variance of a weight. He: He et al., 2015, equation 10. Glorot: Glorot and Bengio,
# 2010, equation 12. LeCun: LeCun et al., 1998, equation 16. PyTorch: the default of its
# layers, uniform there (`torch.nn.Linear.reset_parameters`).
_VARIANCES: dict[str, Callable[[float, float], float]] = {
    'he_normal': lambda fan_in, fan_out: 2.0 / fan_in,
    'glorot_normal': lambda fan_in, fan_out: 2.0 / (fan_in + fan_out),
    'lecun_normal': lambda fan_in, fan_out: 1.0 / fan_in,
    'pytorch_normal': lambda fan_in, fan_out: 1.0 / (3.0 * fan_in),
    'identity': lambda fan_in, fan_out: 1.0 / (3.0 * fan_in),
    'zeros': lambda fan_in, fan_out: 0.0,
}


def make_initializer(
    kind: str,
    seed: int,
    name: str,
    shape: Sequence[int],
    fans: tuple[float, float] | None = None,
) -> Callable:
    """Makes an initializer for `get_variable`.

    Args:
      kind: 'he_normal', 'glorot_normal', 'lecun_normal', 'pytorch_normal', 'zeros' or
        'identity' (of convolutions with an odd kernel: the first outputs equal the
        inputs, as far as there are as many of both, the others are as by
        'pytorch_normal').
      seed: of the network.
      name: full name of the variable.
      shape: of the variable, the inputs and outputs last.
      fans: (fan_in, fan_out); None: those of a dense layer or a convolution.

    Raises:
      SettingError: an unknown kind.
    """
    if kind not in _VARIANCES:
        raise errors.unknown('kernel_initializer', 'initializer', kind, _VARIANCES)
    if kind == 'zeros':
        return tf.zeros
    # In a convolution every output depends on kernel * kernel pixels of each channel.
    field = math.prod(shape[:-2])
    fan_in, fan_out = fans or (field * shape[-2], field * shape[-1])
    normal = _truncated_normal(seed, name, _VARIANCES[kind](fan_in, fan_out))
    return _identity(normal) if kind == 'identity' else normal


def hash_seed(seed: int, name: str) -> int:
    """Returns a number in [0, 2 ** 63) that is the same in every process."""
    digest = hashlib.sha256(f'{seed}/{name}'.encode()).digest()
    return int.from_bytes(digest[:8], 'big') >> 1


def _truncated_normal(seed, name, variance):
    """Makes an initializer: normal, truncated at two deviations."""
    stddev = math.sqrt(variance) / _TRUNCATED_STDDEV

    # Stateless, because even an explicit seed of `tf.random.truncated_normal` is
    # combined with the graph's seed.
    def initializer(shape, dtype=tf.float32):
        key = tf.constant([hash_seed(seed, name), 0], tf.int64)
        return tf.random.stateless_truncated_normal(
            shape, seed=key, stddev=stddev, dtype=dtype, alg=RNG
        )

    return initializer


def _identity(remaining):
    """Makes an initializer of a convolution whose first filters copy a channel each."""

    def initializer(shape, dtype=tf.float32):
        height, width, channels, filters = tuple(shape)
        count = min(channels, filters)
        kernel = np.zeros((height, width, channels, count), np.float32)
        kernel[height // 2, width // 2, range(count), range(count)] = 1.0
        rest = remaining(shape, dtype)[..., count:]
        return tf.concat([tf.cast(kernel, dtype), rest], axis=-1)

    return initializer
