"""Settings of the network and of the weights that it starts from."""

import dataclasses

from estimator_clf.config.groups.setting import SettingsGroup, setting


@dataclasses.dataclass(frozen=True)
class ModelConfig(SettingsGroup):
    """Which network, and a warm start; see the fields' help texts."""

    TITLE = 'Network'

    network: str = setting(
        'cnn',
        'Network, with its options: mlp(hidden=(256, 128), dropout=0.5); see the list '
        'below.',
    )
    weights: str = setting(
        '',
        'Published weights that the network starts from (pretrained, squeezenet): '
        'auto (from `weights_dir`, from the cache of Keras, or downloaded), a file '
        '(.h5, .keras, .pth, .safetensors), its name in `weights_dir`, or none. The '
        "same as the network's option weights.",
    )
    weights_dir: str = setting(
        '',
        'Directory with published weights, by their published names. Default: the '
        'environment variable ESTIMATOR_CLF_WEIGHTS.',
        changeable=True,
    )
    warm_start: str = setting(
        '',
        'Initial weights: a checkpoint, the directory of a run (its latest checkpoint; '
        'DIR:best for its best), a SavedModel, or a Keras file (.h5, .keras).',
    )
    warm_start_include: str = setting(
        '',
        "With `warm_start`: patterns of the new network's variables to restore: conv1, "
        'conv2. Default: all with the same name and shape.',
    )
    warm_start_exclude: str = setting(
        '', 'With `warm_start`: patterns of variables not to restore: logits.'
    )
    warm_start_map: str = setting(
        '',
        'With `warm_start`: renames variables of the source as re.sub does: '
        '^vgg/=cnn/, "conv(\\d)"="conv_\\1".',
    )
