"""Advice to use transfer learning where training from scratch learns little."""

import math
from typing import TYPE_CHECKING

from estimator_clf.config.config import Config

if TYPE_CHECKING:
    from input.sources.base import DataSource

# Below this number of photos a network from scratch is far from a pretrained one.
_PHOTOS = 5000
# Smaller or gray images are not like the photos that networks are pretrained on.
_LEAST_SIDE = 48
_FORMATS = ('image_folder', 'tfrecord', 'tfds')


def recipe_hint(config: Config, source: 'DataSource') -> str | None:
    """Returns a sentence that names the recipe; None where it would not help.

    Args:
      config: settings of the run.
      source: its data.
    """
    size = source.num_examples.get(config.data.train_split, _PHOTOS)
    from_scratch = not (
        config.transfer.transfer
        or config.model.warm_start
        or config.model.weights
        or 'weights' in config.network_call.kwargs
        or config.network_call.name == 'pretrained'
    )
    if not from_scratch or size >= _PHOTOS:
        return None
    if config.dataset_call.name.partition(':')[0] not in _FORMATS:
        return None
    if source.image_shape[-1] != 3 or math.prod(source.image_shape[:2]) < (
        _LEAST_SIDE**2
    ):
        return None
    return (
        f'{size} photos are few for a training from scratch: `recipe=transfer` starts '
        'from a pretrained network and is usually far more '
        'accurate (1,602 photos of cats and dogs: 0.9775 instead of 0.79)'
    )
