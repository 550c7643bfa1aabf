"""scikit-learn's 1,797 real hand-written digits: data that needs no download."""

import numpy as np

from estimator_clf.registry import register
from input.memory_source import MemorySource

# The file is in the order of its writers, 13 people. The last fifth holds writers
# that the rest does not, which is what the test set of a real task looks like.
_TEST = 360


@register('digits')
def digits(data_dir=None, *, validation_split=0.0, info=None):
    """1,797 hand-written digits of 8x8 pixels that scikit-learn carries.

    The test split of the UCI "Optical Recognition of Handwritten Digits" data set
    (Alpaydin and Kaynak 1998). Here the last 360 are the test split.

    Args:
      data_dir: not used.
      validation_split: share of the training pictures to hold out.
      info: see `Source`.

    Returns:
      A `MemorySource` of pictures [8, 8, 1].
    """
    del data_dir
    from sklearn.datasets import load_digits

    loaded = load_digits()
    # 17 shades, 0 to 16.
    images = np.round(loaded.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = loaded.target.astype(np.int32)
    arrays = {
        'train': (images[:-_TEST], labels[:-_TEST]),
        'test': (images[-_TEST:], labels[-_TEST:]),
    }
    names = [str(n) for n in range(10)]
    return MemorySource('digits', names, arrays, validation_split, info)
