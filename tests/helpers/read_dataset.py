"""What tests ask of any source."""

import numpy as np

from input.sources.base import as_numpy_batches


def train(source, steps, batch_size, *, split='train', **options):
    """List of (keys, labels, images) of some training steps."""
    input_fn = source.input_fn(split, batch_size, training=True, **options)
    return list(_batches(input_fn, steps))


def evaluate(source, split, batch_size, **options):
    """List of (keys, labels, images) of one pass."""
    return list(_batches(source.input_fn(split, batch_size, **options)))


def _batches(input_fn, limit=None):
    for features, labels in as_numpy_batches(input_fn, limit):
        keys = [key.decode() for key in features['key']]
        assert len(keys) == len(labels)
        yield keys, labels.tolist(), features['image']


def keys(batches):
    """All keys in a row."""
    return [key for batch in batches for key in batch[0]]


def assert_same(one, other):
    """Asserts that two lists of batches are the same to the pixel."""
    assert len(one) == len(other)
    for first, second in zip(one, other, strict=True):
        assert first[:2] == second[:2]
        np.testing.assert_array_equal(first[2], second[2])
