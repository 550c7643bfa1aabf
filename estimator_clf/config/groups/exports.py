"""Settings of the SavedModels that a run exports."""

import dataclasses

from estimator_clf.config.groups.setting import SettingsGroup, at_least, setting


@dataclasses.dataclass(frozen=True)
class ExportConfig(SettingsGroup):
    """Which SavedModels are exported, and what they do; see the fields' help texts."""

    TITLE = 'Export'

    export: bool = setting(True, 'Export a SavedModel at the end.', changeable=True)
    export_weights: str = setting(
        'last',
        'Weights of that export: last or best.',
        choices=('last', 'best'),
        changeable=True,
    )
    export_dir: str = setting(
        '',
        'Directory of the versions. Default: MODEL_DIR/export.',
        changeable=True,
        path=True,
    )
    export_best: int = setting(
        0,
        'Export each new best checkpoint while training to EXPORT_DIR-best, and retain '
        'this many.',
        check=at_least(0),
        changeable=True,
    )
    export_tta: bool = setting(
        False,
        'Apply `eval_tta` in the exported model too; mirror, shift(1) takes six times '
        'as long per image.',
        changeable=True,
    )
    check_export: bool = setting(
        True,
        'Compare each export with its checkpoint in a fresh process before it appears; '
        'takes some seconds.',
        changeable=True,
    )
    max_pixels: int = setting(
        64_000_000,
        'Maximum pixels of an image that an exported model decodes: a file of a few '
        'hundred bytes can declare gigabytes.',
        check=at_least(1),
        changeable=True,
    )
