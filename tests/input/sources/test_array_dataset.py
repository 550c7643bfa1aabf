"""Datasets of arrays."""

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import numpy as np
import tensorflow as tf

from input.sources.array_dataset import array_dataset
from input.sources.base import as_numpy_batches


def _dataset(load, like):
    def run(words, numbers):
        assert words.shape == [3] and words.dtype == tf.string
        return tf.data.Dataset.from_tensor_slices((words, numbers))

    return array_dataset(load, like, run)


def test_arrays_are_unchanged():
    arrays = np.array([b'a', b'', b'\xff'], object), np.arange(3, dtype=np.int64)
    found = list(as_numpy_batches(lambda: _dataset(lambda: arrays, arrays)))
    assert found == [(b'a', 0), (b'', 1), (b'\xff', 2)]


def test_arrays_are_loaded_when_read():
    calls = []

    def load():
        calls.append(1)
        return np.array([b'x'] * 3, object), np.arange(3, dtype=np.int32)

    like = tf.TensorSpec([3], tf.string), tf.TensorSpec([3], tf.int32)
    dataset = _dataset(load, like)
    assert not calls
    assert len(list(dataset.as_numpy_iterator())) == 3
    assert len(calls) == 1


def test_arrays_are_not_in_the_graph():
    image = np.full([3, 1000], 7, np.uint8)
    words = np.array([b'secret'] * 3, object)
    with tf.Graph().as_default() as graph:
        _dataset(lambda: (words, image), (words, image))
        text = graph.as_graph_def().SerializeToString()
    assert b'secret' not in text
    assert b'\x07' * 100 not in text
