"""Settings of the input pipeline."""

import dataclasses

from estimator_clf.config.groups.setting import (
    SettingsGroup,
    at_least,
    fraction,
    from_to_below,
    setting,
)


def _channels(x):
    return None if x in (None, 1, 3) else 'must be 1 or 3'


@dataclasses.dataclass(frozen=True)
class DataConfig(SettingsGroup):
    """What is read, and how images become batches; see the fields' help texts."""

    TITLE = 'Data'

    dataset: str = setting(
        'digits',
        'Format of the data, with its options: tfrecord(image_key=img), or '
        'tfds:NAME; see the list below.',
    )
    data_dir: str = setting(
        '', 'Directory (or file) of the data.', changeable=True, path=True
    )
    image_size: str = setting(
        '',
        'Side of the images in pixels, or HEIGHTxWIDTH. Default: the size of the '
        'images, 64 if it varies.',
    )
    channels: int | None = setting(
        None,
        '1 for grayscale, 3 for color. Default: as the images.',
        check=_channels,
    )
    validation_split: float = setting(
        0.0,
        'Fraction of the training examples to hold out for validation.',
        check=from_to_below(0, 1),
    )
    train_split: str = setting(
        'train', 'Split to train on; for tfds also a slice: train[:80%].'
    )
    classes: str = setting(
        '', 'Use these classes only: cat, dog. Names with a comma go into quotes.'
    )
    exclude_classes: str = setting('', 'Classes to exclude: cat, dog.')
    examples_per_class: int | None = setting(
        None,
        'Maximum number of training examples per class, chosen by `seed`; the other '
        'splits stay whole.',
        check=at_least(1),
    )
    augment: str = setting(
        '',
        'Augmentation, in order: flip, alternating_flip, vflip, crop(PIXELS), '
        'zoom(FRACTION), rotate(DEGREES), resized_crop(AREA), brightness(FRACTION), '
        'contrast(FRACTION), saturation(FRACTION), cutout(SIDE), '
        'cutout_inside(SIDE), randaugment(MAGNITUDE, ops=2); then mixup(ALPHA), '
        'cutmix(ALPHA).',
    )
    sampling: str = setting(
        'natural',
        'How often training samples a class: natural: as it occurs; balanced: all '
        'equally often; sqrt: by the square root of its examples. Not for records.',
        choices=('natural', 'balanced', 'sqrt'),
    )
    max_corrupt_images: int = setting(
        10,
        'Maximum number of corrupt images that are skipped and reported before the '
        'run stops; 0: it stops at the first.',
        check=at_least(0),
        changeable=True,
    )
    cache: str = setting(
        'none',
        'image_folder: what is cached in memory: none; encoded: the bytes of the '
        'files (slow disks); decoded: the pixels, the same in each epoch.',
        choices=('none', 'encoded', 'decoded'),
        changeable=True,
    )
    eval_crop: float = setting(
        1.0,
        'Fraction of the sides of the largest central window that evaluation and '
        'serving use.',
        check=fraction,
    )
