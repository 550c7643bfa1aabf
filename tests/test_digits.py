"""The digits that scikit-learn carries."""

import numpy as np
from reading import evaluate
from sklearn.datasets import load_digits

from input.formats.digits import digits


def test_digits():
    source = digits()
    assert source.class_names == tuple('0123456789')
    assert source.num_examples == {'train': 1437, 'test': 360}
    assert source.image_shape == (8, 8, 1)
    loaded = load_digits()
    for split, part in (('train', slice(1437)), ('test', slice(1437, None))):
        ((_, labels, images),) = evaluate(source, split, 2000)
        assert labels == loaded.target[part].tolist()
        # 16 shades, spread from 0 to 255.
        np.testing.assert_array_equal(
            np.round(images[..., 0] / 255 * 16), loaded.images[part]
        )
        assert images.max() == 255


def test_held_out():
    assert sum(digits(validation_split=0.1).num_examples.values()) == 1797
