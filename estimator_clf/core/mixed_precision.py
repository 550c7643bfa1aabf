"""Which type a machine computes a training fastest in: `precision=auto`."""

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import tensorflow as tf

from estimator_clf.core import cpu_info

PRECISIONS = ('float32', 'bfloat16', 'float16', 'auto')

# oneDNN, which TensorFlow computes with on x86, has kernels in bfloat16 for both. With
# avx512_bf16 alone (an AMD EPYC, 2 cores that did other work), a step of `cnn` on
# 128 images of 32x32x3 took 0.20 s instead of 0.41 s with TensorFlow 2.21, and 0.24 s
# instead of 0.52 s with 2.15: medians of 16, in turns. AMX was not at hand.
_CPU_FLAGS = {'amx_bf16', 'avx512_bf16'}


def resolve(precision):
    """Turns 'auto' into the type for the devices that are visible.

    A GPU of compute capability 8.0 (Ampere) or above: bfloat16, whose exponent needs no
    loss scaling; of 7.x (Volta, Turing), whose tensor cores know float16 only: float16
    (NVIDIA, Mixed-Precision Training guide; not run here, for want of a GPU). A
    CPU with bfloat16 in its instructions: bfloat16. All else: float32.

    Args:
      precision: one of `PRECISIONS`.

    Returns:
      'float32', 'bfloat16' or 'float16'.
    """
    if precision != 'auto':
        return precision
    gpus = tf.config.get_visible_devices('GPU')
    if gpus:
        # The oldest decides: all train the same weights.
        return for_gpu(min(map(_capability, gpus)))
    return for_cpu(cpu_info.features())


def for_gpu(capability):
    """Returns the type for a compute capability, such as (8, 6)."""
    if capability >= (8, 0):
        return 'bfloat16'
    return 'float16' if capability >= (7, 0) else 'float32'


def for_cpu(flags):
    """Returns the type for a CPU with these flags, as /proc/cpuinfo names them."""
    return 'bfloat16' if _CPU_FLAGS & set(flags) else 'float32'


def conv_gradients(kind, dtype):
    """Turns 'auto' into the kind of gradients to take, see `model_fns.layers.conv_gradients`.

    Args:
      kind: one of `model_fns.specs.CONV_GRADIENTS`, or 'auto'.
      dtype: what training computes in.
    """
    if kind != 'auto':
        return kind
    if dtype != 'bfloat16' or tf.config.get_visible_devices('GPU'):
        return 'tensorflow'
    return conv_gradients_for_cpu(cpu_info.features())


def conv_gradients_for_cpu(flags):
    """Returns the kind for bfloat16 on a CPU with these flags, see `for_cpu`."""
    if 'amx_bf16' in flags:
        return 'products'
    return 'small' if 'avx512_bf16' in flags else 'tensorflow'


def _capability(gpu):
    details = tf.config.experimental.get_device_details(gpu)
    return details.get('compute_capability', (0, 0))
