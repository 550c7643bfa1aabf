"""Input pipeline: reads images from disk into batches of images and labels.

    import input as data
    source = data.open_dataset('image_folder', data_dir='dogscats')
    input_fn = source.input_fn('train', batch_size=32, training=True, augment='flip')

It contains file formats, example order, decoding, augmentation and batching, and is
independent of models, Estimators and flags. Importing it does not import TensorFlow.
"""

import os

# Before TensorFlow is first imported: hides the log lines of its C++ start-up.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

from estimator_clf.core.errors import DataError  # noqa: E402
from input.registry import FORMATS, open_dataset  # noqa: E402

__all__ = ['FORMATS', 'DataError', 'open_dataset']
