"""The hash and the random numbers: the same everywhere, and uniform."""

import numpy as np
import pytest
import tensorflow as tf

from input.sampling.stateless_random import (
    ExampleRng,
    is_validation_example,
    mix,
    mix_text,
)


def test_mix_is_splitmix64():
    """The first outputs of the reference implementation, from seed 1234567."""
    gamma = 0x9E3779B97F4A7C15
    states = [(1234567 + n * gamma) % 2**64 for n in range(5)]
    assert mix(np.array(states, np.uint64)).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_mix_in_numpy_eager_and_graphs_agrees():
    values = np.concatenate(
        [np.arange(1000, dtype=np.uint64), ~np.arange(1000, dtype=np.uint64)]
    )
    expected = mix(values)
    assert expected.dtype == np.uint64
    np.testing.assert_array_equal(mix(tf.constant(values)).numpy(), expected)
    dataset = tf.data.Dataset.from_tensor_slices(values).map(mix)
    np.testing.assert_array_equal(list(dataset.as_numpy_iterator()), expected)


def test_mix_accepts_a_scalar():
    assert int(mix(5)) == int(mix(np.array([5], np.uint64))[0])


def test_mix_text_does_not_depend_on_the_process():
    assert mix_text('flip') == mix_text('flip')
    texts = ['flip', 'vflip', 'crop row', 'crop column', 'zoom', 'é', '']
    assert len({mix_text(text) for text in texts}) == len(texts)
    assert 0 <= mix_text('flip') < 2**64
    # Another number here means that old runs cannot be resumed.
    assert mix_text('flip') == 0x6A043261BBC8B8AB


def _rng(seed=3, epoch=0, count=20000):
    index = tf.range(count, dtype=tf.int64)
    return ExampleRng(seed, tf.fill([count], tf.constant(epoch, tf.int64)), index)


def test_uniform_is_uniform():
    values = _rng().uniform('x', 2.0, 6.0).numpy()
    assert values.dtype == np.float32
    assert values.min() >= 2.0 and values.max() < 6.0
    counts, _ = np.histogram(values, 20, (2.0, 6.0))
    # Chi-square with 19 degrees of freedom: 43.8 is exceeded once in a thousand.
    assert np.sum((counts - 1000.0) ** 2 / 1000.0) < 43.8


def test_integer_reaches_both_ends_evenly():
    values = _rng().integer('x', -2, 2).numpy()
    assert values.dtype == np.int32
    counts = [int((values == n).sum()) for n in range(-2, 3)]
    assert sum(counts) == len(values)
    assert np.sum((np.array(counts) - 4000.0) ** 2 / 4000.0) < 18.5


def test_integer_accepts_tensors():
    values = _rng(count=1000).integer('x', 0, tf.constant(3))
    assert set(values.numpy().tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize('other', [{'seed': 4}, {'epoch': 1}, {'seed': -3}])
def test_seed_and_epoch_change_the_samples(other):
    first, second = _rng().uniform('x').numpy(), _rng(**other).uniform('x').numpy()
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03


def test_purposes_are_independent():
    rng = _rng()
    rows, columns = rng.uniform('crop row').numpy(), rng.uniform('crop column')
    assert abs(np.corrcoef(rows, columns.numpy())[0, 1]) < 0.03


def test_samples_do_not_depend_on_the_batch():
    batch = _rng(count=10).uniform('zoom').numpy()
    for n in (0, 7):
        alone = ExampleRng(3, tf.constant(0, tf.int64), tf.constant(n, tf.int64))
        assert float(alone.uniform('zoom')) == batch[n]


def test_samples_in_graphs_equal_eager():
    def sample(index):
        return ExampleRng(3, tf.constant(0, tf.int64), index).uniform('zoom')

    dataset = tf.data.Dataset.range(10).map(sample)
    np.testing.assert_array_equal(
        list(dataset.as_numpy_iterator()), _rng(count=10).uniform('zoom').numpy()
    )


def test_held_out_share_and_stability():
    ids = np.arange(20000, dtype=np.uint64)
    out = is_validation_example(ids, 0.1)
    assert out.dtype == bool
    assert abs(out.mean() - 0.1) < 0.007
    np.testing.assert_array_equal(is_validation_example(ids[:500], 0.1), out[:500])
    # A larger share holds out all of the smaller one.
    assert not np.any(out & ~is_validation_example(ids, 0.2))
    np.testing.assert_array_equal(
        is_validation_example(tf.constant(ids), 0.1).numpy(), out
    )


@pytest.mark.parametrize('fraction', [-0.5, 0.0, 1.0, 1.5])
def test_held_out_at_and_beyond_the_ends(fraction):
    ids = np.arange(100, dtype=np.uint64)
    assert is_validation_example(ids, fraction).all() == (fraction >= 1.0)
    assert is_validation_example(tf.constant(ids), fraction).numpy().all() == (
        fraction >= 1.0
    )
