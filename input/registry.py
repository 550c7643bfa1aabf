"""The door to all formats: a name and a directory in, a `DataSource` out."""

import inspect

from estimator_clf.core.errors import DataError
from estimator_clf.core.registry import Registry

FORMATS = Registry('input.formats', 'dataset', DataError)

# What every format takes, beside the options of its own.
COMMON = ('data_dir', 'validation_split')


def open_dataset(name, data_dir=None, *, selection=None, **options):
    """Opens a dataset.

    Args:
      name: a name in `FORMATS.names()`, or `tfds:NAME`.
      data_dir: directory or file; what it must hold is the format's affair.
      selection: `input.sampling.subset.Subset` of classes and examples.
      **options: options of the format, see its function. None means not given.

    Returns:
      An `input.sources.base.DataSource`.

    Raises:
      DataError: an unknown name (the nearest one is suggested), an option that
        this format does not have, or data that is not as it must be; with an `info`
        of an earlier run, also other classes or another shape than it had.
    """
    format_name, _, variant = name.partition(':')
    FORMATS.facts(format_name)  # A wrong name is said before TensorFlow is loaded,
    import estimator_clf.compat  # noqa: F401  which this does without its chatter.

    factory = FORMATS.get(format_name)
    accepted = inspect.signature(factory).parameters
    options = {k: v for k, v in options.items() if v not in (None, '')}
    if variant:
        if 'variant' not in accepted:
            raise DataError(
                f'`dataset={name}`: only tfds takes a name behind a colon; '
                f'write `dataset={format_name}`'
            )
        options['variant'] = variant
    if 'variant' not in options and format_name == 'tfds':
        raise DataError('`dataset=tfds` needs a name: `dataset=tfds`:NAME')
    for option in options:
        if option not in accepted:
            takes = [p for p in accepted if p not in ('variant', 'data_dir', 'info')]
            raise DataError(
                f'`{option}` has no meaning for `dataset={name}`, which takes: '
                + ', '.join(f'`{p}`' for p in takes)
            )
    info = options.get('info')
    if info and 'image_size' in accepted:
        # What the images at hand would suggest is not what the network was built for.
        height, width, channels = info.image_shape
        options = {'image_size': f'{height}x{width}', 'channels': channels, **options}
    source = factory(data_dir, **options)
    if selection:
        from input.sampling.subset import select

        select(source, selection)
    if info:
        _check_same(source, info)
    return source


def _check_same(source, info):
    """Raises DataError if labels or shapes mean something else than in `info`."""
    for what, here, there in (
        ('classes', source.class_names, info.class_names),
        ('shape', source.image_shape, info.image_shape),
    ):
        if tuple(here) != tuple(there):
            raise DataError(
                f'`data_dir`: the {what} of {source.name} must be those of the run, '
                f'{_listed(there)}, got {_listed(here)}'
            )


def _listed(values):
    more = ', …' if len(values) > 20 else ''
    return ', '.join(map(str, values[:20])) + more
