"""Example order: permutations and shares of workers."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from input.sampling.index_shuffle import Share, locate, shuffled


def _run(num_examples, seed, count, block=1, start=0):
    """Returns (epochs, indices) of positions start to start + count, in blocks."""
    parts = [
        locate(tf.range(p, p + block, dtype=tf.int64), num_examples, seed)
        for p in range(start, start + count, block)
    ]
    return tuple(np.concatenate([part[k].numpy() for part in parts]) for k in (0, 1))


@pytest.mark.parametrize('num_examples', [1, 2, 3, 8, 9, 65, 1000, 2**16, 2**16 + 1])
def test_every_index_once_per_epoch(num_examples):
    for epoch in range(3):
        epochs, indices = locate(
            epoch * num_examples + tf.range(num_examples, dtype=tf.int64),
            num_examples,
            seed=5,
        )
        assert set(epochs.numpy()) == {epoch}
        np.testing.assert_array_equal(np.sort(indices), range(num_examples))


def test_shuffled_with_an_unfit_count():
    counts = np.repeat([3, 2**16 + 1, 7], [3, 2**16 + 1, 7])
    indices = np.concatenate([np.arange(n) for n in (3, 2**16 + 1, 7)])
    seeds = tf.constant([[1, 2, 3]] * len(counts), tf.uint64)
    found = shuffled(indices, seeds, tf.constant(counts), set(counts)).numpy()
    for n in (3, 2**16 + 1, 7):
        np.testing.assert_array_equal(np.sort(found[counts == n]), range(n))


def test_natural_order():
    epochs, indices = _run(3, None, 8, block=2)
    assert epochs.tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert indices.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


@pytest.mark.parametrize('block', [2, 5, 7])
def test_blocks_across_epochs_equal_single_positions(block):
    whole = _run(7, 1, 70)
    blocks = _run(7, 1, 70, block=block)
    np.testing.assert_array_equal(whole, blocks)


def test_scalars_agree_with_vectors():
    epochs, indices = _run(7, 1, 21)
    for position in (0, 6, 7, 20):
        epoch, index = locate(tf.constant(position, tf.int64), 7, 1)
        assert (int(epoch), int(index)) == (epochs[position], indices[position])


def test_graph_agrees_with_eager():
    dataset = tf.data.Dataset.range(0, 70, 5).map(
        lambda p: locate(p + tf.range(5, dtype=tf.int64), 7, 1)
    )
    epochs, indices = zip(*dataset.as_numpy_iterator(), strict=True)
    np.testing.assert_array_equal(
        (np.concatenate(epochs), np.concatenate(indices)), _run(7, 1, 70)
    )


def test_seeds_and_epochs_differ():
    orders = [_run(50, seed, 50, 50, start)[1] for seed in (0, 1) for start in (0, 50)]
    orders.append(_run(50, -1, 50, 50)[1])
    for one, other in itertools.combinations(orders, 2):
        # By chance one of 50 examples is at its old position, on average.
        assert (one == other).sum() < 8


@pytest.mark.parametrize('num_examples', [6, 50])
def test_shuffle_is_uniform(num_examples):
    """Each index is at each position about equally often, over many epochs."""
    epochs, places = 1000, 3
    positions = tf.range(places, dtype=tf.int64)
    counts = np.zeros([places, num_examples])
    dataset = tf.data.Dataset.range(epochs).map(
        lambda epoch: locate(epoch * num_examples + positions, num_examples, 9)[1]
    )
    indices = next(dataset.batch(epochs).as_numpy_iterator())
    for place in range(places):
        counts[place] = np.bincount(indices[:, place], minlength=num_examples)
    expected = epochs / num_examples
    chi_square = ((counts - expected) ** 2 / expected).sum(1)
    degrees = num_examples - 1
    # Mean and standard deviation of chi-square are k and sqrt(2k).
    assert (chi_square < degrees + 5.0 * np.sqrt(2.0 * degrees)).all(), chi_square


def test_adjacent_examples_are_separated():
    _, indices = _run(1000, 2, 1000, 1000)
    assert abs(np.corrcoef(indices[:-1], indices[1:])[0, 1]) < 0.12
    assert abs(np.corrcoef(indices, np.arange(1000))[0, 1]) < 0.12
    assert (np.diff(indices) == 1).sum() < 8


def _positions(share, blocks):
    return [share.positions(k).numpy().tolist() for k in range(blocks)]


def test_single_worker_takes_all():
    share = Share(4)
    assert _positions(share, 2) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_replicas_take_blocks_in_turns():
    share = Share(4, replicas=2)
    assert _positions(share, 4) == [[0, 1], [2, 3], [4, 5], [6, 7]]


@pytest.mark.parametrize('replicas,workers', [(1, 1), (1, 3), (2, 1), (2, 3), (6, 1)])
def test_workers_and_replicas_cover_each_step_without_overlap(replicas, workers):
    shares = [Share(12, replicas, worker, workers) for worker in range(workers)]
    for step in range(3):
        blocks = range(step * replicas, (step + 1) * replicas)
        seen = [p for s in shares for k in blocks for p in s.positions(k).numpy()]
        # In the order of the workers, so that a reduction adds in the same order.
        assert seen == list(range(12 * step, 12 * step + 12))


@pytest.mark.parametrize('replicas,workers', [(1, 1), (1, 3), (2, 1), (2, 3)])
def test_positions_position_and_contains_agree(replicas, workers):
    shares = [Share(12, replicas, worker, workers) for worker in range(workers)]
    for worker, share in enumerate(shares):
        mine = [p for k in range(3 * replicas) for p in share.positions(k).numpy()]
        one_by_one = [
            int(share.position(tf.constant(n, tf.int64))) for n in range(len(mine))
        ]
        assert one_by_one == mine
        held = [p for p in range(36) if bool(share.contains(tf.constant(p, tf.int64)))]
        assert held == mine, worker


def test_indivisible_batch_is_refused():
    with pytest.raises(ValueError, match='`batch_size=10` must be a multiple of .* 4'):
        Share(10, replicas=2, num_workers=2)
