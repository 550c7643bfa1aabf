"""Settings of devices and precision."""

import dataclasses

from estimator_clf.config.groups.setting import SettingsGroup, at_least, setting

_DTYPES = ('float32', 'bfloat16', 'float16', 'auto')


def _steps_per_loop(x):
    valid = x == 'auto' or (x.isdecimal() and int(x) >= 1)
    return None if valid else "must be 'auto' or a whole number of at least 1"


@dataclasses.dataclass(frozen=True)
class HardwareConfig(SettingsGroup):
    """Devices, precision and compilation; see the fields' help texts."""

    TITLE = 'Hardware'

    device: str = setting(
        'auto',
        'auto, cpu or gpu.',
        choices=('auto', 'cpu', 'gpu'),
        changeable=True,
    )
    replicas: int | None = setting(
        None,
        'Devices of this machine to train on together (MirroredStrategy). Default: '
        'every GPU, or one CPU.',
        check=at_least(1),
        changeable=True,
    )
    precision: str = setting(
        'float32',
        'Compute dtype of training; weights, loss and exports stay float32. auto: the '
        'fastest on this machine.',
        choices=_DTYPES,
    )
    eval_precision: str = setting(
        'float32',
        'Compute dtype of evaluation; export and prediction stay float32.',
        choices=_DTYPES,
    )
    steps_per_loop: str = setting(
        'auto',
        'Maximum training steps per session run; auto: up to the next checkpoint, '
        'evaluation or log line. A run ends after a second in any case, to check for '
        'signals. Changes speed, not results.',
        check=_steps_per_loop,
        changeable=True,
    )
    conv_gradients: str = setting(
        'auto',
        "Gradients of convolutions: TensorFlow's kernels (tensorflow), matrix products "
        'and forward convolutions (products), products for small images only (small), '
        'or the fastest on this CPU (auto). Equal within rounding.',
        choices=('auto', 'tensorflow', 'products', 'small'),
        changeable=True,
    )
    xla: bool = setting(
        False,
        'Compile the training step. For GPUs: on a CPU, convolutions become slower.',
    )
