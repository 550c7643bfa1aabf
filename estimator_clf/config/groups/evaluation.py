"""Settings of evaluation, model selection and early stopping."""

import dataclasses

from estimator_clf.config.groups.setting import SettingsGroup, at_least, setting
from estimator_clf.config.metric_goal import MODES


@dataclasses.dataclass(frozen=True)
class EvalConfig(SettingsGroup):
    """What is evaluated when, and what follows from it; see the fields' help texts."""

    TITLE = 'Evaluation'

    eval_every: str = setting(
        '1epochs', 'Interval of evaluation; 0: at the end only.', changeable=True
    )
    eval_split: str = setting(
        '',
        'Split to evaluate while training. Default: validation, or else test.',
        changeable=True,
    )
    extra_eval_sets: str = setting(
        '',
        'More to evaluate while training: NAME(SPLIT, data_dir=DIR, every=INTERVAL), '
        'where DIR has other images of the same classes: fit(train, every=5epochs), '
        'phone(data_dir=photos/phone).',
        changeable=True,
    )
    eval_batch_size: int | None = setting(
        None, 'Default: `batch_size`.', check=at_least(1), changeable=True
    )
    eval_plots: bool = setting(
        True,
        'Confusion matrix, worst mistakes, tables and precision-recall curves for '
        'TensorBoard, at each evaluation.',
        changeable=True,
    )
    projector: int = setting(
        0,
        "Number of examples in TensorBoard's projector, placed by the input of the "
        'last layer.',
        check=at_least(0),
        changeable=True,
    )
    eval_samples: int = setting(
        1,
        'Number of stochastic forward passes whose probabilities are averaged, for '
        'networks that are random (fmp); in evaluation and in the export.',
        check=at_least(1),
    )
    eval_tta: str = setting(
        '',
        'Test-time augmentation: average over mirrored images (mirror) and images '
        'shifted by some pixels: mirror, shift(1).',
    )
    best_metric: str = setting(
        '',
        'Metric that selects the best checkpoints. Default: accuracy, or else loss.',
        changeable=True,
    )
    best_mode: str = setting(
        'auto',
        "max, min, or auto: min for metrics with 'loss' or 'error' in their names.",
        choices=MODES,
        changeable=True,
    )
    keep_best: int = setting(
        1,
        'Number of best checkpoints to retain in MODEL_DIR/best, by the validation '
        'split, never by the test split unless `eval_split` names it.',
        check=at_least(0),
        changeable=True,
    )
    early_stopping: str = setting(
        '',
        'Stop when `best_metric` has not improved for this long: 5evals, 2epochs.',
        changeable=True,
    )
    min_delta: float = setting(
        0.0,
        'Minimum improvement that counts for `early_stopping`.',
        check=at_least(0),
        changeable=True,
    )
