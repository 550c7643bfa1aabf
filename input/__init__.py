"""Bytes on disk in, batches of images and labels out.

    import input as data
    source = data.open_dataset('image_folder', data_dir='dogscats')
    input_fn = source.input_fn('train', batch_size=32, training=True, augment='flip')

Knows file formats, order, decoding, augmentation and batches; knows nothing of
models, Estimators or flags. Importing it does not import TensorFlow.
"""

import os

# Before TensorFlow is first imported: its C++ start-up lines are not for a user.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

from estimator_clf.core.errors import DataError  # noqa: E402
from input.registry import FORMATS, open_dataset  # noqa: E402

__all__ = ['FORMATS', 'DataError', 'open_dataset']
