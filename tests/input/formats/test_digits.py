"""The digits of scikit-learn."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from input import DataError
from input.formats.digits import digits
from tests.helpers.read_dataset import evaluate


def test_digits():
    source = digits()
    assert source.class_names == tuple('0123456789')
    assert source.image_shape == (8, 8, 1)
    assert source.num_examples.keys() == {'train', 'test'}
    assert 300 < source.num_examples['test'] < 420

    loaded = load_digits()
    there = {
        (image.astype(np.uint8).tobytes(), int(label))
        for image, label in zip(loaded.images, loaded.target, strict=True)
    }
    assert len(there) == 1797  # All images are different.
    found = []
    for split in source.num_examples:
        ((_, labels, images),) = evaluate(source, split, 2000)
        assert set(labels) == set(range(10))
        assert images.max() == 255
        # 17 shades from 0 to 255.
        shades = np.round(images[..., 0] / 255 * 16).astype(np.uint8)
        found += [(s.tobytes(), n) for s, n in zip(shades, labels, strict=True)]
    assert len(found) == 1797 and set(found) == there


def test_validation_split():
    source = digits(validation_split=0.1)
    assert sum(source.num_examples.values()) == 1797
    assert source.num_examples['test'] == digits().num_examples['test']


def test_data_dir_is_refused():
    with pytest.raises(DataError, match='`data_dir=images` has no meaning for'):
        digits('images')
