"""Settings of transfer learning in phases: features, classifier, fine-tuning."""

import dataclasses

from estimator_clf.config.groups.setting import SettingsGroup, setting


def _strength(x):
    return None if x is None or 0 < x < float('inf') else 'must be above 0 and finite'


@dataclasses.dataclass(frozen=True)
class TransferConfig(SettingsGroup):
    """What the phases of transfer learning do; see the fields' help texts."""

    TITLE = 'Transfer learning'

    transfer: bool = setting(
        False,
        'Train in phases, as the recipe transfer does: compute the features of the '
        'pretrained network once, fit the classifier to them, then fine-tune the '
        'network. Batch size, length and rates that are not given follow from the '
        'number of images.',
    )
    classifier_l2: float | None = setting(
        None,
        'With `transfer`: L2 regularization of the classifier, on standardized '
        'features. Default: chosen on the validation split if it has 200 images, else '
        'by cross-validation.',
        check=_strength,
    )
    fine_tune: str = setting(
        'auto',
        'With `transfer`: patterns of the variables to train after the classifier, '
        'such as fire8, fire9; all; or none. auto: all if there is a validation split '
        'of at least 100 images. The result is kept if it is better there.',
    )
