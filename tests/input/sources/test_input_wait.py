"""`input_wait` is the time for which the caller is blocked."""

import time

import pytest
import tensorflow as tf

from input.sources.base import as_numpy_batches
from input.sources.input_wait import timed
from input.sources.pipeline import dataset_options


def _measure(produce, consume, count=12):
    """Returns the mean measured wait in seconds, with a producer that reads ahead."""

    def slowly(number):
        def wait(number):
            time.sleep(produce)
            return number

        return tf.numpy_function(wait, [number], tf.int64)

    def input_fn():
        dataset = tf.data.Dataset.range(count).map(slowly)
        dataset = dataset.map(lambda n: ({'image': n}, n)).prefetch(tf.data.AUTOTUNE)
        return timed(dataset).with_options(dataset_options())

    waits = []
    for number, (features, labels) in enumerate(as_numpy_batches(input_fn)):
        assert features['image'] == labels == number
        waits.append(float(features['input_wait']))
        time.sleep(consume)
    assert len(waits) == count
    return sum(waits[2:]) / len(waits[2:])


@pytest.mark.parametrize(
    'produce,consume,expected',
    [
        (0.06, 0.0, 0.06),  # Starved.
        (0.08, 0.04, 0.04),  # The next batch is made during the work.
        (0.03, 0.09, 0.0),  # Fast enough.
    ],
)
def test_input_wait_is_the_blocked_time(produce, consume, expected):
    assert _measure(produce, consume) == pytest.approx(expected, abs=0.025)


def test_input_wait_is_a_float64_scalar():
    dataset = timed(tf.data.Dataset.from_tensors(({'image': 1}, 2)))
    features, _ = dataset.element_spec
    assert features['input_wait'] == tf.TensorSpec([], tf.float64)
