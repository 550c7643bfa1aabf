"""Chooses the fastest precision of a machine: `precision=auto`."""

from collections.abc import Iterable

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from estimator_clf.core.hardware import cpu_info

PRECISIONS = ('float32', 'bfloat16', 'float16', 'auto')

# oneDNN, which TensorFlow uses on x86, has bfloat16 kernels for both. With avx512_bf16
# alone (an AMD EPYC, 2 cores under other load), a step of `cnn` on 128 images of
# 32x32x3 took 0.20 s instead of 0.41 s with TensorFlow 2.21, and 0.24 s instead of
# 0.52 s with 2.15: medians of 16, in turns. AMX was not available.
_CPU_FLAGS = {'amx_bf16', 'avx512_bf16'}


def resolve(precision: str) -> str:
    """Resolves 'auto' to the precision for the visible devices.

    A GPU of compute capability 8.0 (Ampere) or above: bfloat16, whose exponent needs no
    loss scaling; of 7.x (Volta, Turing), whose tensor cores support float16 only:
    float16 (NVIDIA, Mixed-Precision Training guide; not run here, without a GPU). A CPU
    with bfloat16 instructions: bfloat16. All others: float32.

    Args:
      precision: one of `PRECISIONS`.

    Returns:
      'float32', 'bfloat16' or 'float16'.
    """
    if precision != 'auto':
        return precision
    gpus = tf.config.get_visible_devices('GPU')
    if gpus:
        # The oldest GPU decides: all train the same weights.
        return for_gpu(min(map(_capability, gpus)))
    return for_cpu(cpu_info.features())


def for_gpu(capability: tuple[int, int]) -> str:
    """Returns the precision for a compute capability, such as (8, 6)."""
    if capability >= (8, 0):
        return 'bfloat16'
    return 'float16' if capability >= (7, 0) else 'float32'


def for_cpu(flags: Iterable[str]) -> str:
    """Returns the precision for a CPU with these flags of /proc/cpuinfo."""
    return 'bfloat16' if _CPU_FLAGS & set(flags) else 'float32'


def conv_gradients(kind: str, dtype: str) -> str:
    """Resolves 'auto' to a kind of `model_fns.layers.conv_gradients`.

    Args:
      kind: one of `model_fns.specs.CONV_GRADIENTS`, or 'auto'.
      dtype: compute precision of the training.
    """
    if kind != 'auto':
        return kind
    if dtype != 'bfloat16' or tf.config.get_visible_devices('GPU'):
        return 'tensorflow'
    return conv_gradients_for_cpu(cpu_info.features())


def conv_gradients_for_cpu(flags: Iterable[str]) -> str:
    """Returns the kind for bfloat16 on a CPU with these flags, see `for_cpu`."""
    flags = set(flags)
    if 'amx_bf16' in flags:
        return 'products'
    return 'small' if 'avx512_bf16' in flags else 'tensorflow'


def _capability(gpu):
    details = tf.config.experimental.get_device_details(gpu)
    return details.get('compute_capability', (0, 0))
