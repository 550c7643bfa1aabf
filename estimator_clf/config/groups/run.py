"""Settings of a training run: length, checkpoints, logs, resuming."""

import dataclasses

from estimator_clf.config.groups.setting import (
    SettingsGroup,
    at_least,
    proper_fraction,
    setting,
)


@dataclasses.dataclass(frozen=True)
class RunConfig(SettingsGroup):
    """Length, checkpoints and logs of a run; see the fields' help texts."""

    TITLE = 'Run'

    model_dir: str = setting(
        '',
        'Directory of the run. Default: runs/DATASET-NETWORK.',
        changeable=True,
        path=True,
    )
    epochs: float = setting(
        0.0,
        'Length of the run. Default (0): 10, unless `max_steps` is given.',
        check=at_least(0),
        changeable=True,
    )
    max_steps: int | None = setting(
        None,
        'Length in steps, instead of `epochs`.',
        check=at_least(1),
        changeable=True,
    )
    resume: str = setting(
        'auto',
        'With checkpoints in MODEL_DIR: auto: resume from them; never: refuse; must: '
        'refuse if there are none.',
        choices=('auto', 'never', 'must'),
        changeable=True,
    )
    seed: int = setting(
        0, 'Of initial weights, order, augmentation and dropout.', check=at_least(0)
    )
    log_every: str = setting(
        '', 'Interval of the training metrics. Default: an epoch, at most 100 steps.'
    )
    save_every: str = setting(
        '1epochs', 'Interval of the checkpoints.', changeable=True
    )
    keep_checkpoints: int = setting(
        5,
        'Number of latest checkpoints to retain.',
        check=at_least(1),
        changeable=True,
    )
    max_rollbacks: int = setting(
        0,
        'How often to return to the last checkpoint and continue with a lower learning '
        'rate when the loss is not finite; 0: stop.',
        check=at_least(0),
        changeable=True,
    )
    rollback_factor: float = setting(
        0.5,
        'Factor of the learning rate at each rollback.',
        check=proper_fraction,
        changeable=True,
    )
    histograms: bool = setting(
        False, 'Write histograms of the weights for TensorBoard.', changeable=True
    )
    profile: str = setting(
        '',
        "Steps to record for TensorBoard's profiler, such as 100:120.",
        changeable=True,
    )
    record_keys: bool = setting(
        False,
        'Write the keys of the examples of each step to keys.jsonl.',
        changeable=True,
    )
