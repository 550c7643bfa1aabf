"""Input pipeline: reads images from disk into batches of images and labels.

    import input as data
    source = data.open_dataset('image_folder', data_dir='dogscats')
    input_fn = source.input_fn('train', batch_size=32, training=True, augment='flip')

It contains file formats, example order, decoding, augmentation and batching, and is
independent of models, Estimators and flags. Importing it does not import TensorFlow.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

# Before TensorFlow is first imported: hides the log lines of its C++ start-up.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

from estimator_clf.core.errors import DataError  # noqa: E402
from input.corrupt_images import CorruptImages  # noqa: E402
from input.dataset_info import DatasetInfo  # noqa: E402
from input.registry import FORMATS, open_dataset  # noqa: E402

if TYPE_CHECKING:
    from input.formats.arrays import from_arrays
    from input.sampling.subset import Subset
    from input.sources.base import DataSource, as_numpy_batches

__all__ = [
    'FORMATS',
    'CorruptImages',
    'DataError',
    'DataSource',
    'DatasetInfo',
    'Subset',
    'as_numpy_batches',
    'from_arrays',
    'open_dataset',
]

# Imported at first use, since these modules import TensorFlow.
_LAZY = {
    'DataSource': 'input.sources.base',
    'Subset': 'input.sampling.subset',
    'as_numpy_batches': 'input.sources.base',
    'from_arrays': 'input.formats.arrays',
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

    return getattr(importlib.import_module(_LAZY[name]), name)
