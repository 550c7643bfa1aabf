"""Device selection: CPU or GPU, one device or several of one machine.

The GPU path follows TensorFlow's documentation; it was written on a machine without a
GPU. What it shares with the CPU path, including MirroredStrategy, is tested on logical
CPU devices.
"""

from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from estimator_clf.core.errors import ConfigError


def set_up(device: str = 'auto', replicas: int | None = None) -> int:
    """Configures the devices; must be called before any other use of TensorFlow.

    Args:
      device: 'auto', 'cpu' or 'gpu'.
      replicas: number of devices to train on; None: every GPU, or one CPU.

    Returns:
      Number of replicas.

    Raises:
      ConfigError: fewer devices than `replicas`, or no GPU.
    """
    gpus = tf.config.list_physical_devices('GPU') if device != 'cpu' else []
    if device == 'gpu' and not gpus:
        raise ConfigError(
            '`device=gpu` needs a GPU that TensorFlow can use, and it finds none; '
            'install the extra: pip install -e ".[gpu]", or use `device=cpu`'
        )
    if gpus:
        count = replicas or len(gpus)
        if count > len(gpus):
            raise ConfigError(
                f'`replicas` must be at most the {len(gpus)} GPUs there are, '
                f'got {count}'
            )
        tf.config.set_visible_devices(gpus[:count], 'GPU')
        for gpu in gpus[:count]:
            # Otherwise the first process allocates the whole memory of the device.
            tf.config.experimental.set_memory_growth(gpu, True)
        return count
    tf.config.set_visible_devices([], 'GPU')
    count = replicas or 1
    if count > 1:
        cpu = tf.config.list_physical_devices('CPU')[0]
        try:
            tf.config.set_logical_device_configuration(
                cpu, [tf.config.LogicalDeviceConfiguration()] * count
            )
        except RuntimeError as error:
            raise ConfigError(
                f'`replicas={count}` on the CPU must be set up before any other use of '
                f'TensorFlow in this process: {error}'
            ) from None
    return count


def strategy(replicas: int) -> tf.distribute.Strategy | None:
    """Returns the strategy for a number of replicas, or None for a single device."""
    if replicas == 1:
        return None
    if tf.config.get_visible_devices('GPU'):
        return tf.distribute.MirroredStrategy()
    # The default cross-device ops hang on logical CPUs.
    return tf.distribute.MirroredStrategy(
        [f'/cpu:{n}' for n in range(replicas)],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )


def session_config(rewrite: bool = True, **options: Any) -> tf.compat.v1.ConfigProto:
    """Returns the ConfigProto of a session.

    Args:
      rewrite: whether TensorFlow may rewrite each graph before its first run. It makes
        networks faster; graphs that only read and decode images gain nothing, and take
        two to four times as long to prepare.
      **options: other fields of the ConfigProto.
    """
    config = tf.compat.v1.ConfigProto(allow_soft_placement=True, **options)
    config.gpu_options.allow_growth = True
    rewriting = config.graph_options.rewrite_options
    rewriting.disable_meta_optimizer = not rewrite
    # A second iteration changes almost nothing (the same operations in the step of a
    # linear network, one more of 500 in airbench's), and the TFG optimizer only moves
    # operations into branches.
    rewriting.meta_optimizer_iterations = type(rewriting).ONE
    rewriting.disable_tfg_optimizer = True
    return config
