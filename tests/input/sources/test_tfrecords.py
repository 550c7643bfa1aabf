"""Order, resume and corruption of sharded records."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.core.errors import DataError
from input.sources.base import as_numpy_batches
from input.sources.tfrecords import TFRecordSource
from input.tfrecord.files import Shard
from tests.helpers.record_examples import flip_bit, labelled, png, write_shard

_FEATURES = {
    'image/encoded': tf.io.FixedLenFeature([], tf.string),
    'image/class/label': tf.io.FixedLenFeature([], tf.int64),
}


def _parse(serialized, name):
    parsed = tf.io.parse_single_example(serialized, _FEATURES)
    return {
        'data': parsed['image/encoded'],
        'key': name,
        'label': parsed['image/class/label'],
    }


def _shards(directory, counts=(9, 8, 6), prefix='train'):
    shards, first = [], 0
    for k, count in enumerate(counts):
        path = directory / f'{prefix}-{k}'
        write_shard(path, [labelled(n) for n in range(first, first + count)])
        shards.append(Shard(str(path), count))
        first += count
    return shards


def _source(shards, num_classes=3, **options):
    options.setdefault('shuffle_buffer', 4)
    names = [f'c{n}' for n in range(num_classes)]
    return TFRecordSource('r', names, (6, 6, 3), {'train': shards}, _parse, **options)


@pytest.fixture(name='shards', scope='module')
def _module_shards(tmp_path_factory):
    return _shards(tmp_path_factory.mktemp('records'))


def _run(source, steps, batch_size=5, split='train', **options):
    """Returns the (keys, labels, images) of some training steps."""
    input_fn = source.input_fn(split, batch_size, training=True, **options)
    return [
        ([k.decode() for k in features['key']], labels.tolist(), features['image'])
        for features, labels in as_numpy_batches(input_fn, steps)
    ]


def _keys(run):
    return [key for keys, _, _ in run for key in keys]


def test_every_example_once_per_epoch(shards):
    keys = _keys(_run(_source(shards), 23, batch_size=4))  # 4 epochs of 23.
    for epoch in range(4):
        assert len(set(keys[23 * epoch : 23 * (epoch + 1)])) == 23
    assert keys[:23] != keys[23:46]


def test_images_and_labels_match_their_keys(shards):
    first = {shard.name: 0 for shard in shards}
    first.update({shards[1].name: 9, shards[2].name: 17})
    for keys, labels, images in _run(_source(shards), 5):
        for key, label, image in zip(keys, labels, images, strict=True):
            name, _, place = key.partition(':')
            number = first[name] + int(place)
            assert label == number % 3
            assert image[1, 1, 0] == number
    assert image.dtype == np.uint8 and image.shape == (6, 6, 3)


@pytest.mark.extended
@pytest.mark.parametrize('start', [1, 4, 5, 13])
def test_resumed_run_equals_the_tail_of_the_whole_run(shards, start):
    options = {'seed': 7, 'augment': 'flip,crop(2),brightness(0.3)'}
    whole = _run(_source(shards), 16, **options)
    tail = _run(_source(shards), 16 - start, start_step=start, **options)
    for (keys, labels, images), expected in zip(tail, whole[start:], strict=True):
        assert keys == expected[0]
        assert labels == expected[1]
        np.testing.assert_array_equal(images, expected[2])


@pytest.mark.extended
def test_seed_determines_the_order(shards):
    source = _source(shards)
    assert _keys(_run(source, 9, seed=1)) == _keys(_run(source, 9, seed=1))
    assert _keys(_run(source, 9, seed=1)) != _keys(_run(source, 9, seed=2))


@pytest.mark.extended
def test_graph_seed_does_not_change_the_order(shards):
    input_fn = _source(shards).input_fn('train', 5, training=True, seed=3)

    def within(seed):
        def seeded():
            tf.compat.v1.set_random_seed(seed)
            return input_fn()

        return [features['key'].tolist() for features, _ in as_numpy_batches(seeded, 6)]

    assert within(1) == within(2) == within(0)


@pytest.mark.extended
def test_eager_reading_equals_a_session(shards):
    input_fn = _source(shards).input_fn('train', 5, training=True, seed=3)
    eager = [f['key'].numpy().tolist() for f, _ in input_fn().take(6)]
    assert eager == [f['key'].tolist() for f, _ in as_numpy_batches(input_fn, 6)]


def test_files_are_interleaved_without_a_buffer(shards):
    keys = _keys(_run(_source(shards, shuffle_buffer=1), 2))
    assert len({key.partition(':')[0] for key in keys[:3]}) == 3


@pytest.mark.extended
def test_workers_share_each_batch(shards):
    whole = _run(_source(shards), 8, batch_size=6)
    halves = [
        _run(_source(shards), 8, batch_size=6, num_workers=2, worker=w) for w in (0, 1)
    ]
    for step in range(8):
        assert halves[0][step][0] + halves[1][step][0] == whole[step][0]
    later = _run(
        _source(shards), 3, batch_size=6, num_workers=2, worker=1, start_step=5
    )
    assert [keys for keys, _, _ in later] == [keys for keys, _, _ in halves[1][5:]]


@pytest.mark.extended
def test_replicas_take_consecutive_blocks(shards):
    whole = _keys(_run(_source(shards), 4, batch_size=6))
    assert _keys(_run(_source(shards), 8, batch_size=6, replicas=2)) == whole


def test_evaluation_is_in_natural_order_and_ends(shards):
    batches = list(as_numpy_batches(_source(shards).input_fn('train', 5)))
    keys = [key.decode() for features, _ in batches for key in features['key']]
    assert keys == [f'{s.name}:{n}' for s in shards for n in range(s.count)]
    assert [len(labels) for _, labels in batches] == [5, 5, 5, 5, 3]


def test_shard_may_be_a_slice_of_a_file(shards):
    part = Shard(shards[0].path, 3, skip=4)
    keys = _keys(_run(_source([part]), 1, batch_size=3))
    assert sorted(keys) == [f'{part.name}:{n}' for n in (4, 5, 6)]


@pytest.mark.extended
def test_validation_split_is_disjoint_and_stable(tmp_path):
    shards = _shards(tmp_path, (40, 30))
    source = _source(shards, validation_split=0.3)
    sizes = source.num_examples
    assert sizes['train'] + sizes['validation'] == 70
    assert 8 <= sizes['validation'] <= 34
    train = set(_keys(_run(source, 1, batch_size=sizes['train'])))
    held = {key for key, _, _ in source.encoded('validation')}
    assert len(train) == sizes['train'] and len(held) == sizes['validation']
    assert not train & held
    # Another shard does not move examples between splits.
    more = _source([*shards, *_shards(tmp_path, (9,), 'x')], validation_split=0.3)
    assert held <= {key for key, _, _ in more.encoded('validation')}
    resumed = _run(source, 2, start_step=7, batch_size=9)
    assert _keys(resumed) == _keys(_run(source, 9, batch_size=9)[7:])


@pytest.mark.parametrize('fraction', [-0.1, 1.0, 1e-9])
def test_invalid_validation_split_is_refused(shards, fraction):
    with pytest.raises(DataError, match='`validation_split'):
        _source(shards, validation_split=fraction)


def test_invalid_shuffle_buffer_is_refused(shards):
    with pytest.raises(DataError, match='`shuffle_buffer` must be at least 1, got 0'):
        _source(shards, shuffle_buffer=0)


def test_encoded(shards):
    source = _source(shards)
    everything = list(source.encoded('train'))
    assert [label for _, _, label in everything] == [n % 3 for n in range(23)]
    assert everything[4][1] == png(4)
    assert list(source.encoded('train', [0, 4, 22])) == [
        everything[n] for n in (0, 4, 22)
    ]
    assert list(source.encoded('train', [])) == []


def test_encoded_twice_at_once_and_eager_ops_between(shards):
    source = _source(shards)
    both = zip(source.encoded('train'), source.encoded('train'), strict=True)
    for (key, data, _), (other, _, _) in both:
        assert tf.executing_eagerly() and key == other
        assert tf.io.decode_png(data).shape == (6, 6, 3)


def test_class_counts(shards):
    source = _source(shards, num_classes=4, validation_split=0.3)
    for split in ('train', 'validation'):
        labels = [label for _, _, label in source.encoded(split)]
        counts = source.class_counts(split)
        assert counts.dtype == np.int64
        assert counts.tolist() == [labels.count(n) for n in range(4)]


@pytest.mark.extended
def test_class_counts_of_corrupt_records_are_an_error(shards):
    with pytest.raises(DataError, match='record 2: its label must be from 0 to 1'):
        _source(shards, num_classes=2).class_counts('train')


def test_sampling_by_class_is_refused(shards):
    with pytest.raises(DataError, match='`class_weights=balanced`'):
        _source(shards).input_fn('train', 5, training=True, sampling='balanced')
    with pytest.raises(DataError, match='`sampling` must be one of'):
        _source(shards).input_fn('train', 5, training=True, sampling='fair')


@pytest.mark.extended
def test_resumed_resized_crop_is_the_same(shards):
    options = {'augment': 'resized_crop(0.3)', 'seed': 2}
    whole = _run(_source(shards), 6, **options)
    tail = _run(_source(shards), 1, start_step=5, **options)
    np.testing.assert_array_equal(tail[0][2], whole[5][2])


@pytest.mark.extended
def test_label_out_of_range_is_named(shards):
    source = _source(shards, num_classes=2)
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        _run(source, 5)
    assert 'corrupt example <train-' in str(error.value)
    assert 'its label must be from 0 to 1, got 2' in str(error.value)
    message = source.explain(error.value)
    assert (
        f'{shards[0].path}, record 2: its label must be from 0 to 1, got 2' in message
    )


def test_flipped_bit_is_named(tmp_path):
    shards = _shards(tmp_path)
    before = sum(len(labelled(n)) + 16 for n in range(9, 12))
    flip_bit(shards[1].path, before + 40)
    source = _source(shards)
    with pytest.raises(tf.errors.DataLossError) as error:
        _run(source, 5)
    message = source.explain(error.value)
    assert f'{shards[1].path}, record 3: ' in message
    assert 'a bit has flipped' in message
    assert message.startswith('1 image cannot')


def test_truncated_file_is_named(tmp_path):
    shards = _shards(tmp_path)
    with open(shards[2].path, 'r+b') as file:
        file.truncate(2 * (len(labelled(17)) + 16) + 30)
    source = _source(shards)
    with pytest.raises(tf.errors.OpError) as error:
        _run(source, 5)
    assert 'is cut short, in record 2' in source.explain(error.value)


@pytest.mark.extended
def test_missing_records_are_an_error(tmp_path):
    (shard,) = _shards(tmp_path, (5,))
    source = _source([Shard(shard.path, 6)])
    with pytest.raises(tf.errors.OpError) as error:
        _run(source, 2, batch_size=4)
    assert 'the file has 5 records, where 6 belong' in source.explain(error.value)


@pytest.mark.extended
def test_undecodable_images_are_named(tmp_path):
    whole = labelled(0)
    text = whole.replace(png(0)[:8], b'notapict')
    path = write_shard(tmp_path / 'a', [whole, text, whole])
    source = _source([Shard(path, 3)])
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        list(as_numpy_batches(source.input_fn('train', 3)))
    message = source.explain(error.value)
    assert f'{path}, record 1: neither JPEG, PNG, GIF nor BMP' in message
    assert message.count('record') == 1


def test_order_of_files_differs_between_epochs(tmp_path):
    shards = _shards(tmp_path, (1,) * 8)
    keys = _keys(_run(_source(shards, shuffle_buffer=1), 12, batch_size=8))
    first = collections.Counter(keys[::8])
    assert len(first) > 2
