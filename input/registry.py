"""Opens a dataset of any registered format."""

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from estimator_clf.core.class_names import listed
from estimator_clf.core.errors import DataError
from estimator_clf.core.registry import Registry
from input.dataset_info import DatasetInfo
from input.images.limits import MAX_IMAGE_PIXELS

if TYPE_CHECKING:  # They import TensorFlow.
    from input.sampling.subset import Subset
    from input.sources.base import DataSource

FORMATS = Registry('input.formats', 'dataset', DataError)

# Options that every format accepts, in addition to its own.
COMMON = ('data_dir', 'validation_split')


def open_dataset(
    name: str,
    data_dir: str | None = None,
    *,
    selection: 'Subset | None' = None,
    class_order: Sequence[str] = (),
    max_image_pixels: int = MAX_IMAGE_PIXELS,
    **options: Any,
) -> 'DataSource':
    """Opens a dataset.

    Args:
      name: a name in `FORMATS.names()`, or `tfds:NAME`.
      data_dir: directory or file; its required content depends on the format.
      selection: the classes and examples to use; None: all.
      class_order: the names of the classes in the order of an earlier run, which
        retains its labels; ignored if the names are others.
      max_image_pixels: maximum number of pixels of an image, see `DataSource`.
      **options: options of the format, see its function. None means not given.

    Raises:
      DataError: an unknown name (the nearest one is suggested), an option that
        this format does not have, or invalid data; with an `info` of an earlier run,
        also other classes or another shape.
    """
    format_name, _, variant = name.partition(':')
    FORMATS.facts(format_name)  # An unknown name is an error before TensorFlow loads.
    import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

    factory = FORMATS.get(format_name)
    accepted = inspect.signature(factory).parameters
    options = {k: v for k, v in options.items() if v not in (None, '')}
    if variant:
        if 'variant' not in accepted:
            raise DataError(
                f'`dataset={name}`: only tfds accepts a name after a colon; '
                f'use `dataset={format_name}`'
            )
        options['variant'] = variant
    if 'variant' not in options and format_name == 'tfds':
        raise DataError('`dataset=tfds` needs a name: `dataset=tfds:NAME`')
    for option in options:
        if option not in accepted:
            known = [p for p in accepted if p not in ('variant', 'data_dir', 'info')]
            raise DataError(
                f'`{option}` has no meaning for `dataset={name}`, which accepts: '
                + ', '.join(f'`{p}`' for p in known)
            )
    info = options.get('info')
    if info and 'image_size' in accepted:
        # The network was built for this shape, whatever these images suggest.
        height, width, channels = info.image_shape
        options = {'image_size': f'{height}x{width}', 'channels': channels, **options}
    source = factory(data_dir, **options)
    source.max_image_pixels = max_image_pixels
    if selection:
        from input.sampling.subset import select

        select(source, selection)
    _reorder(source, info.class_names if info else class_order)
    if info:
        _check_same(source, info)
    return source


def _reorder(source: 'DataSource', names: Sequence[str]) -> None:
    """Numbers the classes in the order of `names`, if these are the same classes."""
    if tuple(names) == source.class_names or set(names) != set(source.class_names):
        return
    import numpy as np

    label = {name: number for number, name in enumerate(names)}
    numbers = np.array([label[name] for name in source.class_names], np.int32)
    places = {split: np.arange(size) for split, size in source.num_examples.items()}
    source.restrict(places, numbers, names)


def _check_same(source: 'DataSource', info: DatasetInfo) -> None:
    """Raises DataError if classes or shape differ from those in `info`."""
    comparisons: tuple[tuple[str, Sequence[Any], Sequence[Any]], ...] = (
        ('classes', source.class_names, info.class_names),
        ('shape', source.image_shape, info.image_shape),
    )
    for what, here, there in comparisons:
        if tuple(here) != tuple(there):
            raise DataError(
                f'`data_dir`: the {what} of {source.name} must be those of the run, '
                f'{listed(list(map(str, there)))}, got {listed(list(map(str, here)))}'
            )
