"""Opens the data that the settings name."""

import math
from typing import TYPE_CHECKING, Any

from estimator_clf.config.config import Config
from estimator_clf.core.call_syntax import parse_list
from input import FORMATS, open_dataset
from input.dataset_info import DatasetInfo
from input.images.image_shape import MAX_INFERRED_PIXELS

if TYPE_CHECKING:
    from input.sources.base import DataSource


def open_source(
    config: Config,
    info: DatasetInfo | None = None,
    resumed: DatasetInfo | None = None,
) -> 'DataSource':
    """Opens the dataset of a run.

    Args:
      config: settings of the run.
      info: description of the data of an earlier run; its pixel statistics are used,
        and other classes or another image shape are an error.
      resumed: description of the data of the run that is resumed, whose image size is
        the default where it is larger than one that would be inferred, and whose
        classes retain their order.

    Returns:
      An `input.sources.base.DataSource`.

    Raises:
      DataError: invalid data or an invalid option of the format.
    """
    from input.sampling.subset import Subset

    data = config.data
    subset = Subset(
        classes=parse_list(data.classes, 'classes'),
        exclude=parse_list(data.exclude_classes, 'exclude_classes'),
        per_class=data.examples_per_class,
        split=data.train_split,
        seed=config.run.seed,
    )
    args = source_args(config)
    # The run may be older than the limit of an inferred size.
    if resumed and math.prod(resumed.image_shape[:2]) > MAX_INFERRED_PIXELS:
        options = FORMATS.options(config.dataset_call.name.partition(':')[0])
        if 'image_size' in options and not args['image_size']:
            args['image_size'] = f'{resumed.image_shape[0]}x{resumed.image_shape[1]}'
    order = resumed.class_names if resumed else ()
    source = open_dataset(**args, selection=subset, info=info, class_order=order)
    source.set_cache(data.cache)
    return source


def open_directory(
    config: Config, source: 'DataSource', directory: str
) -> 'DataSource':
    """Opens another directory of images of the same classes, for evaluation.

    Args:
      config: settings of the run.
      source: the run's own `DataSource`.
      directory: the other directory.

    Returns:
      Its `DataSource`, with the classes and the image shape of `source`.
    """
    other = config.replace(
        data_dir=directory, validation_split=0.0, examples_per_class=None
    )
    return open_source(other, source.info)


def source_args(config: Config) -> dict[str, Any]:
    """Returns the keyword arguments of `input.open_dataset` for a run's data."""
    data, call = config.data, config.dataset_call
    options = {
        'image_size': data.image_size or None,
        'channels': data.channels,
        'validation_split': data.validation_split or None,
        'max_image_pixels': data.max_image_pixels,
        **call.kwargs,
    }
    if call.name.startswith('tfds:'):  # Its splits may be slices.
        options['train_split'] = data.train_split
        options['eval_split'] = config.evaluation.eval_split
    return dict(options, name=call.name, data_dir=data.data_dir or None)
