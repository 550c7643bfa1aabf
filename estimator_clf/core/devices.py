"""What to run on: CPU or GPU, one device or several of one machine.

The GPU path follows TensorFlow's documentation; it was written on a machine without
one. What it shares with the CPU path, MirroredStrategy among it, is tested on
logical CPU devices.
"""

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import tensorflow as tf

from estimator_clf.core.errors import ConfigError


def set_up(device='auto', replicas=None):
    """Prepares the devices; must come before TensorFlow is used for anything.

    Args:
      device: 'auto', 'cpu' or 'gpu'.
      replicas: devices to train on together; None: every GPU, or one CPU.

    Returns:
      Number of replicas.

    Raises:
      ConfigError: not so many devices, or no GPU.
    """
    gpus = tf.config.list_physical_devices('GPU') if device != 'cpu' else []
    if device == 'gpu' and not gpus:
        raise ConfigError(
            '`device=gpu` needs a GPU that TensorFlow can use, and it sees none; '
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
            # Otherwise the first process takes the whole memory of the device.
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
                f'`replicas={count}` on the CPU must be set up before TensorFlow is '
                f'used for anything in this process: {error}'
            ) from None
    return count


def strategy(replicas):
    """Returns the strategy to train with, or None for one device.

    Args:
      replicas: what `set_up` returned.
    """
    if replicas == 1:
        return None
    if tf.config.get_visible_devices('GPU'):
        return tf.distribute.MirroredStrategy()
    # The default cross-device ops hang over logical CPUs.
    return tf.distribute.MirroredStrategy(
        [f'/cpu:{n}' for n in range(replicas)],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )


def session_config(rewrite=True, **options):
    """Returns the ConfigProto of a session.

    Args:
      rewrite: whether TensorFlow may rewrite each graph before it first runs. It makes
        networks faster; to prepare a graph that only reads and decodes images, which
        gains nothing, takes two to four times as long with it.
      **options: other fields of the ConfigProto.
    """
    config = tf.compat.v1.ConfigProto(allow_soft_placement=True, **options)
    config.gpu_options.allow_growth = True
    rewriting = config.graph_options.rewrite_options
    rewriting.disable_meta_optimizer = not rewrite
    # A second round finds next to nothing behind the first (the same operations in the
    # step of a linear network, one more of 500 in airbench's), and this pass only moves
    # operations into branches.
    rewriting.meta_optimizer_iterations = type(rewriting).ONE
    rewriting.disable_tfg_optimizer = True
    return config
