"""Class-balanced sampling as a function of (seed, position)."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from input import DataError
from input.formats.arrays import from_arrays
from input.formats.csv import from_values
from input.formats.image_folder import image_folder
from input.sampling.class_balance import make_order
from tests.helpers.images import class_directories
from tests.helpers.read_dataset import assert_same, evaluate, keys, train

_COUNTS = {'a': 40, 'b': 9, 'c': 4}


@pytest.fixture(name='source', scope='module', params=['memory', 'files'])
def _source(request, tmp_path_factory):
    if request.param == 'memory':
        labels = np.repeat([0, 1, 2], list(_COUNTS.values()))
        images = np.zeros([len(labels), 4, 4, 1], np.uint8)
        images += np.arange(len(labels), dtype=np.uint8)[:, None, None, None]
        return from_arrays({'train': (images, labels)}, ['a', 'b', 'c', 'none'])
    root = tmp_path_factory.mktemp('directories')
    class_directories(root, _COUNTS)
    return image_folder(str(root))


def _labels(run):
    return [label for _, labels, _ in run for label in labels]


@pytest.mark.combinations
@pytest.mark.parametrize(
    'sampling,shares',
    [
        ('natural', [40 / 53, 9 / 53, 4 / 53]),
        ('balanced', [1 / 3, 1 / 3, 1 / 3]),
        ('sqrt', np.sqrt([40, 9, 4]) / np.sqrt([40, 9, 4]).sum()),
    ],
)
def test_class_proportions(source, sampling, shares):
    run = train(source, 53, 10, sampling=sampling)  # 10 epochs.
    counts = np.bincount(_labels(run), minlength=3)
    # Quotas are integers: of 53 per epoch, off by at most one half.
    np.testing.assert_allclose(counts[:3] / 530, shares, atol=0.011)


def test_balanced_classes_are_even_at_any_step(source):
    labels = _labels(train(source, 50, 10, sampling='balanced'))
    counts = np.stack([np.cumsum(np.array(labels) == n) for n in range(3)])
    assert (counts.max(0) - counts.min(0)).max() <= 4


@pytest.mark.combinations
@pytest.mark.parametrize('sampling', ['balanced', 'sqrt'])
def test_examples_repeat_after_all_others_of_their_class(source, sampling):
    run = train(source, 60, 10, sampling=sampling, seed=3)
    of_class, rounds = collections.defaultdict(list), []
    for key, label in zip(keys(run), _labels(run), strict=True):
        of_class[label].append(key)
    for label, count in enumerate(_COUNTS.values()):
        sampled = of_class[label]
        for start in range(0, len(sampled) - count, count):
            rounds.append(tuple(sampled[start : start + count]))
            assert len(set(rounds[-1])) == count
    longer = [p for p in rounds if len(p) > 4]  # 4 examples have 24 orders only.
    assert len(set(longer)) == len(longer) > 10


def test_labels_match_their_images(source):
    label_of = {key: label for key, _, label in source.encoded('train')}
    for names, labels, _ in train(source, 20, 8, sampling='sqrt'):
        assert labels == [label_of[name] for name in names]


@pytest.mark.combinations
@pytest.mark.parametrize('sampling', ['balanced', 'sqrt'])
def test_resumed_run_equals_the_tail_of_the_whole_run(source, sampling):
    options = {'augment': 'flip,crop(2)', 'seed': 3, 'sampling': sampling}
    whole = train(source, 30, 5, **options)
    for start in (4, 21):
        assert_same(
            train(source, 30 - start, 5, start_step=start, **options), whole[start:]
        )
    (late,) = train(source, 1, 5, start_step=10**9, **options)
    assert len(late[0]) == 5


@pytest.mark.combinations
def test_workers_share_each_batch(source):
    alone = train(source, 6, 12, sampling='balanced')
    parts = [
        train(source, 6, 12, sampling='balanced', worker=w, num_workers=2)
        for w in (0, 1)
    ]
    for step, (names, _, _) in enumerate(alone):
        assert parts[0][step][0] + parts[1][step][0] == names


def test_order_does_not_depend_on_the_batch_size(source):
    small, large = (train(source, n, 120 // n, sampling='sqrt') for n in (24, 3))
    assert keys(small) == keys(large)


@pytest.mark.combinations
def test_seed_determines_the_order(source):
    runs = [train(source, 10, 5, sampling='balanced', seed=seed) for seed in (1, 1, 2)]
    assert_same(runs[0], runs[1])
    assert _labels(runs[0]) != _labels(runs[2])


def test_repeated_examples_are_augmented_differently(source):
    found = collections.defaultdict(list)
    run = train(source, 30, 10, sampling='balanced', augment='brightness(0.9)')
    for names, _, images in run:
        for name, image in zip(names, images, strict=True):
            found[name].append(image.tobytes())
    last = [key for key, _, _ in source.encoded('train')][-1]
    assert len(found[last]) >= 20 and len(set(found[last])) > 15


def test_evaluation_is_not_sampled(source):
    assert_same(
        evaluate(source, 'train', 20, sampling='balanced'),
        evaluate(source, 'train', 20),
    )


def test_permutations_of_a_class_are_uniform():
    """First examples of 2,000 permutations of 5: chi-square, 4 degrees of freedom."""
    order = make_order('balanced', np.repeat([0, 1], [5, 5]), 7)
    positions = tf.range(20000, dtype=tf.int64)
    epochs, indices = (
        x.numpy() for x in order.locate(positions, *map(tf.constant, order.arrays()))
    )
    assert len(set(zip(epochs, indices, strict=True))) == 20000
    first = [np.flatnonzero((epochs == e) & (indices < 5))[0] for e in range(2000)]
    counts = np.bincount(indices[first], minlength=5)
    assert np.sum((counts - 400) ** 2 / 400) < 18.5


@pytest.mark.parametrize('sampling', ['fair', ''])
def test_unknown_sampling_is_refused(source, sampling):
    with pytest.raises(DataError, match='`sampling` must be one of natural, balanced'):
        source.input_fn('train', 4, training=True, sampling=sampling)


def test_regression_data_are_refused():
    source = from_values({'train': (np.zeros([5, 1]), np.zeros(5))})
    with pytest.raises(DataError, match='no classes'):
        source.input_fn('train', 4, training=True, sampling='balanced')
