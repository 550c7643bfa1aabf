"""Order, resume, workers and augmentation of sources in memory and in files."""

import numpy as np
import pytest
import tensorflow as tf

from input import DataError
from input.formats.arrays import from_arrays
from input.formats.image_folder import image_folder
from input.sources import base
from tests.helpers.images import class_directories, pixels
from tests.helpers.read_dataset import assert_same, evaluate, keys, train

_SIZE = 23
_AUGMENT = 'flip,crop(2),resized_crop'


def _in_memory():
    images = np.stack([pixels(9, 9, 3, seed) for seed in range(_SIZE)])
    labels = np.arange(_SIZE) % 3
    return from_arrays({'train': (images, labels), 'test': (images[:7], labels[:7])})


@pytest.fixture(name='source', scope='module', params=['memory', 'files'])
def _source(request, tmp_path_factory):
    if request.param == 'memory':
        return _in_memory()
    root = tmp_path_factory.mktemp('directories')
    class_directories(root / 'train', {'a': 8, 'b': 8, 'c': 7})
    class_directories(root / 'test', {'a': 3, 'b': 3, 'c': 1})
    return image_folder(str(root))


def test_every_example_once_per_epoch(source):
    run = keys(train(source, 23, 4))  # 4 epochs.
    epochs = [tuple(run[_SIZE * n : _SIZE * (n + 1)]) for n in range(4)]
    for epoch in epochs:
        assert len(set(epoch)) == _SIZE
    assert len(set(epochs)) == 4


def test_batch_shapes_are_static(source):
    dataset = source.input_fn('train', 4, training=True)()
    features, labels = dataset.element_spec
    height, width, channels = source.image_shape
    assert features == {
        'image': tf.TensorSpec([4, height, width, channels], tf.uint8),
        'key': tf.TensorSpec([4], tf.string),
    }
    assert labels == tf.TensorSpec([4], tf.int32)


@pytest.mark.combinations
def test_resumed_run_equals_the_tail_of_the_whole_run(source):
    whole = train(source, 12, 5, augment=_AUGMENT, seed=3)
    for start in (4, 9):  # 23 examples: epochs end within batches.
        tail = train(source, 12 - start, 5, augment=_AUGMENT, seed=3, start_step=start)
        assert_same(tail, whole[start:])


@pytest.mark.combinations
def test_start_step_is_evaluated_when_the_input_fn_is_called(source):
    steps = [0]
    input_fn = source.input_fn('train', 5, training=True, start_step=lambda: steps[0])
    steps[0] = 3
    features, _ = next(input_fn().as_numpy_iterator())
    assert [k.decode() for k in features['key']] == train(source, 4, 5)[3][0]


def test_late_start_step_is_immediate(source):
    (batch,) = train(source, 1, 5, start_step=10**9, augment='flip')
    assert len(set(batch[0])) == 5


@pytest.mark.combinations
def test_seed_determines_the_run(source):
    first = train(source, 5, 5, seed=1, augment=_AUGMENT)
    assert_same(train(source, 5, 5, seed=1, augment=_AUGMENT), first)
    other = train(source, 5, 5, seed=2, augment=_AUGMENT)
    assert keys(other) != keys(first)


@pytest.mark.combinations
def test_augmentation_does_not_depend_on_the_batch_size(source):
    def by_occurrence(batch_size, steps):
        seen, found = {}, {}
        for names, _, images in train(source, steps, batch_size, augment=_AUGMENT):
            for name, image in zip(names, images, strict=True):
                epoch = seen[name] = seen.get(name, -1) + 1
                found[name, epoch] = image
        return found

    small, large = by_occurrence(2, 23), by_occurrence(23, 2)
    assert small.keys() == large.keys() and len(large) == 2 * _SIZE
    for name, image in large.items():
        np.testing.assert_array_equal(small[name], image)


@pytest.mark.combinations
@pytest.mark.parametrize('replicas,workers', [(2, 1), (1, 2), (3, 2)])
def test_workers_share_each_batch(source, replicas, workers):
    alone = train(source, 6, 12, augment=_AUGMENT)
    parts = [
        train(
            source,
            6 * replicas,
            12,
            augment=_AUGMENT,
            replicas=replicas,
            worker=worker,
            num_workers=workers,
        )
        for worker in range(workers)
    ]
    for step, (names, labels, images) in enumerate(alone):
        mine = [
            block
            for part in parts
            for block in part[step * replicas : (step + 1) * replicas]
        ]
        assert keys(mine) == names
        assert [n for block in mine for n in block[1]] == labels
        np.testing.assert_array_equal(np.concatenate([b[2] for b in mine]), images)


@pytest.mark.combinations
def test_resumed_worker_equals_the_tail(source):
    options = dict(replicas=2, worker=1, num_workers=2, augment=_AUGMENT)
    whole = train(source, 12, 12, **options)
    assert_same(train(source, 8, 12, start_step=2, **options), whole[4:])


@pytest.mark.combinations
@pytest.mark.parametrize('batch_size', [1, 3, 7, 100])
def test_evaluation_is_in_natural_order_with_a_short_last_batch(source, batch_size):
    batches = evaluate(source, 'test', batch_size)
    full, rest = divmod(7, batch_size)
    sizes = [batch_size] * full + [rest] * bool(rest)
    assert [len(names) for names, _, _ in batches] == sizes
    expected = [key for key, _, _ in source.encoded('test')]
    assert keys(batches) == expected
    assert_same(evaluate(source, 'test', batch_size), batches)


def test_evaluation_batch_larger_than_the_split_is_the_split(source):
    (batch,) = evaluate(source, 'test', 2**70)
    assert len(batch[0]) == 7


def test_evaluation_is_not_augmented(source):
    assert_same(
        evaluate(source, 'test', 7, augment=_AUGMENT), evaluate(source, 'test', 7)
    )


def test_encoded_images_decode_to_the_batch(source):
    (batch,) = evaluate(source, 'test', 7)
    for (key, data, label), name, number, image in zip(
        source.encoded('test'), *batch, strict=True
    ):
        assert (key, label) == (name, number)
        np.testing.assert_array_equal(source.decode(tf.constant(data)).numpy(), image)
    some = [key for key, _, _ in source.encoded('test', [1, 4])]
    assert some == [batch[0][1], batch[0][4]]


def test_labels_match_their_images(source):
    label_of = {key: label for key, _, label in source.encoded('train')}
    for names, labels, _ in train(source, 10, 5):
        assert labels == [label_of[name] for name in names]


def test_class_counts(source):
    for split in ('train', 'test'):
        labels = [label for _, _, label in source.encoded(split)]
        counts = source.class_counts(split)
        assert counts.dtype == np.int64
        assert counts.tolist() == [labels.count(n) for n in range(3)]
    with pytest.raises(DataError, match="no split 'dev'"):
        source.class_counts('dev')


def test_class_counts_with_validation_split_and_empty_class():
    images = np.zeros([50, 4, 4, 1], np.uint8)
    labels = np.arange(50) % 2
    source = from_arrays(
        {'train': (images, labels)}, ['a', 'b', 'none'], validation_split=0.3
    )
    counts = [source.class_counts(split) for split in ('train', 'validation')]
    assert np.sum(counts, 0).tolist() == [25, 25, 0]
    for split, count in zip(('train', 'validation'), counts, strict=True):
        assert count.sum() == source.num_examples[split]


@pytest.mark.combinations
def test_pixel_statistics(source):
    (batch,) = evaluate(source, 'train', _SIZE)
    pixels_ = batch[2].astype(np.float64)
    np.testing.assert_allclose(source.info.mean, pixels_.mean((0, 1, 2)))
    np.testing.assert_allclose(source.info.stddev, pixels_.std((0, 1, 2)))
    assert source.info.num_examples == {'train': _SIZE, 'test': 7}
    assert source.info.image_shape == source.image_shape


def test_pixel_statistics_do_not_depend_on_how_many_fit(monkeypatch, tmp_path):
    class_directories(tmp_path, {'cat': 11, 'dog': 12}, size=9)
    found = []
    for pixels_at_once in (2**20, 50):
        monkeypatch.setattr(base, '_STATISTICS_PIXELS', pixels_at_once)
        found.append(image_folder(str(tmp_path)).info)
    assert found[0] == found[1]


def test_time_input_adds_input_wait(source):
    input_fn = source.input_fn('train', 4, training=True, time_input=True)
    features, _ = next(input_fn().as_numpy_iterator())
    assert features['input_wait'].shape == () and features['input_wait'] > 0


@pytest.mark.parametrize(
    'options,match',
    [
        ({'split': 'dev'}, r"no split 'dev'; it has: .*train \(23 examples"),
        ({'batch_size': 0}, '`batch_size` must be at least 1, got 0'),
        ({'batch_size': 24}, '`batch_size=24` must not be more than the 23 examples'),
        ({'batch_size': 5, 'replicas': 2}, 'must be a multiple of .* replicas, 2'),
        ({'augment': 'crop(50)'}, r'`augment=crop\(50\)` must be smaller'),
        ({'eval_crop': 0.0}, '`eval_crop` must be more than 0 and at most 1, got 0.0'),
        ({'eval_crop': 1.5}, '`eval_crop`'),
    ],
)
def test_invalid_options_are_refused(source, options, match):
    options = {'split': 'train', 'batch_size': 4, 'training': True, **options}
    with pytest.raises(DataError, match=match):
        source.input_fn(options.pop('split'), options.pop('batch_size'), **options)


@pytest.mark.combinations
def test_dataset_of_one_batch(source):
    run = train(source, 3, _SIZE)
    assert [len(set(names)) for names, _, _ in run] == [_SIZE] * 3
    assert_same(train(source, 1, _SIZE, start_step=2), run[2:])
