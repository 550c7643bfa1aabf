"""The door to all formats: a name and a folder in, a `Source` out."""

import inspect

from estimator_clf.registry import Registry
from input.errors import DataError

FORMATS = Registry('input.formats', '--dataset', DataError)

# What every format takes, beside the options of its own.
COMMON = ('data_dir', 'validation_split')


def open_dataset(name, data_dir=None, **options):
    """Opens a data set.

    Args:
      name: a name in `FORMATS.names()`, or `tfds:NAME`.
      data_dir: folder or file; what it must hold is the format's affair.
      **options: options of the format, see its function. None means not given.

    Returns:
      An `input.source.Source`.

    Raises:
      DataError: an unknown name (the nearest one is suggested), an option that
        this format does not have, or data that is not as it must be.
    """
    format_name, _, variant = name.partition(':')
    factory = FORMATS.get(format_name)
    accepted = inspect.signature(factory).parameters
    options = {k: v for k, v in options.items() if v not in (None, '')}
    if variant:
        if 'variant' not in accepted:
            raise DataError(
                f'--dataset={name}: only tfds takes a name behind a colon; '
                f'write --dataset={format_name}'
            )
        options['variant'] = variant
    if 'variant' not in options and format_name == 'tfds':
        raise DataError('--dataset=tfds needs a name: --dataset=tfds:NAME')
    for option in options:
        if option not in accepted:
            takes = [p for p in accepted if p not in ('variant', 'data_dir')]
            raise DataError(
                f'--{option} has no meaning for --dataset={name}, which takes: '
                + ', '.join(f'--{p}' for p in takes)
            )
    return factory(data_dir, **options)
