"""Images that cannot be read in mid-run are named, counted and left out."""

import os

import numpy as np
import pytest
import tensorflow as tf

from input import DataError
from input.corrupt_images import CorruptImages
from input.formats.tfrecord import tfrecord
from input.sources.base import as_numpy_batches
from input.sources.image_files import ImageFileSource
from tests.helpers.images import encode, numbered_png, pixels, write
from tests.helpers.read_dataset import assert_same, evaluate, keys, train
from tests.helpers.record_examples import example, flip_bit, write_shard

_COUNT = 20
_BAD = {
    3: b'this is no image',
    8: encode(pixels(60, 20), 'JPEG')[:500],
    9: numbered_png(9)[:-30],
}


def _data(number, bad):
    return bad.get(number, numbered_png(number))


def _files(directory, bad):
    paths = [write(directory / f'{n:02d}.png', _data(n, bad)) for n in range(_COUNT)]
    labels = np.arange(_COUNT, dtype=np.int32) % 2
    return ImageFileSource('f', ('a', 'b'), (8, 8, 3), {'train': (paths, labels)})


def _records(directory, bad, labels=2):
    records = [
        example(
            image__encoded=_data(n, bad),
            image__class__label=n % labels,
            image__filename=f'{n:02d}.png'.encode(),
        )
        for n in range(_COUNT)
    ]
    directory.mkdir(exist_ok=True)
    write_shard(directory / 'train-00000-of-00001', records)
    write(directory / 'labels.txt', b'a\nb\n')
    return tfrecord(str(directory), image_size='8', channels=3)


_KINDS = {'files': _files, 'records': _records}


both = pytest.mark.parametrize('make', _KINDS, indirect=True)
# What the two have in common beyond what `both` shows.
rather_files = pytest.mark.parametrize(
    'make', ['files', pytest.param('records', marks=pytest.mark.slow)], indirect=True
)


@pytest.fixture(name='make', scope='module')
def _make(request, tmp_path_factory):
    """Function from dict number -> bytes to a source with these in place of PNGs."""

    def make(bad, limit=5):
        source = _KINDS[request.param](tmp_path_factory.mktemp('data') / 'x', bad)
        told = []
        if limit:
            source.corrupt_images = CorruptImages(limit, lambda *bad: told.append(bad))
        return source, told

    return make


def _numbers(batches):
    return [int(os.path.basename(key)[:2]) for key in keys(batches)]


_OPTIONS = {'seed': 2, 'augment': 'flip,resized_crop:0.5'}


@both
def test_the_others_stay_at_their_places_in_training(make):
    good, _ = make({}, limit=0)
    whole = train(good, 12, 5, **_OPTIONS)
    source, told = make(_BAD)
    run = train(source, 12, 5, **_OPTIONS)
    for (names, labels, images), (expected, _, were) in zip(run, whole, strict=True):
        names, expected = _numbers([(names,)]), _numbers([(expected,)])
        fine = [n for n in expected if n not in _BAD]
        for place, number in enumerate(expected):
            if number in _BAD:
                assert names[place] in fine
            else:
                assert names[place] == number
                np.testing.assert_array_equal(images[place], were[place])
        assert labels == [n % 2 for n in names]
        # Numbered images are of one value all over.
        assert images.max((1, 2, 3)).tolist() == names
    assert sorted(int(os.path.basename(key)[:2]) for key, _ in told) == sorted(_BAD)
    reasons = {int(os.path.basename(key)[:2]): reason for key, reason in told}
    assert reasons[3] == 'neither JPEG, PNG, GIF nor BMP'
    assert all(reason and '\n' not in reason for reason in reasons.values())
    assert len(source.corrupt_images) == 3 and source.corrupt_images.stopped_by is None
    assert_same(train(source, 5, 5, start_step=7, **_OPTIONS), run[7:])


@rather_files
def test_replicas_get_blocks_of_one_static_size(make):
    source, _ = make(_BAD)
    input_fn = source.input_fn('train', 10, training=True, replicas=2)
    batches = list(as_numpy_batches(input_fn, 8))
    assert [len(labels) for _, labels in batches] == [5] * 8
    with tf.Graph().as_default():
        features, labels = input_fn().element_spec
    assert features == {
        'image': tf.TensorSpec([5, 8, 8, 3], tf.uint8),
        'key': tf.TensorSpec([5], tf.string),
    }
    assert labels == tf.TensorSpec([5], tf.int32)


@rather_files
def test_whole_data_are_read_as_without_it(make):
    source, told = make({})
    plain, _ = make({}, limit=0)
    for one, other in (
        (train(source, 9, 5, **_OPTIONS), train(plain, 9, 5, **_OPTIONS)),
        (evaluate(source, 'train', 7), evaluate(plain, 'train', 7)),
    ):
        assert _numbers(one) == _numbers(other)
        for first, second in zip(one, other, strict=True):
            np.testing.assert_array_equal(first[2], second[2])
    assert not told


@both
def test_evaluation_goes_without_them(make):
    source, told = make(_BAD)
    batches = evaluate(source, 'train', 4)
    assert _numbers(batches) == [n for n in range(_COUNT) if n not in _BAD]
    assert [len(names) for names, _, _ in batches] == [3, 4, 2, 4, 4]
    assert [n % 2 for n in _numbers(batches)] == [y for _, ys, _ in batches for y in ys]
    evaluate(source, 'train', 4)
    assert len(told) == 3  # Once, however often they are met.


@rather_files
def test_a_batch_of_evaluation_with_none_left(make):
    source, _ = make({n: b'' for n in (4, 5, 6, 7)})
    batches = evaluate(source, 'train', 4)
    assert [len(names) for names, _, _ in batches] == [4] * 4
    source, _ = make({_COUNT - 1: b''})
    assert [len(x) for x, _, _ in evaluate(source, 'train', 19)] == [19]


@rather_files
def test_a_batch_of_training_with_none_left(make):
    source, _ = make({n: b'' for n in range(_COUNT)}, limit=100)
    with pytest.raises(tf.errors.OpError) as raised:
        train(source, 1, 4)
    said = source.explain(raised.value)
    assert said.startswith('No image of a training batch can be read:\n')
    assert said.count('neither JPEG, PNG, GIF nor BMP') == 4


@both
def test_beyond_the_limit_it_stops_and_names_all(make):
    source, told = make(_BAD, limit=2)
    with pytest.raises(tf.errors.OpError) as raised:
        train(source, 20, 5)
    assert len(told) == 3
    said = source.explain(raised.value)
    assert said.startswith(
        '3 images cannot be read, where `max_corrupt_images=2` is the most:\n'
    )
    for number in _BAD:
        assert f'{number:02d}.png' in said


@rather_files
def test_the_pixel_statistics_go_without_them(make):
    source, told = make(_BAD)
    good = [n for n in range(_COUNT) if n not in _BAD]
    assert min(good) < source.info.mean[0] < max(good)
    assert len(told) == 3


def test_a_file_that_is_gone(tmp_path):
    source = _files(tmp_path, {})
    os.remove(tmp_path / '05.png')
    told = []
    source.corrupt_images = CorruptImages(5, lambda *bad: told.append(bad))
    assert len(keys(evaluate(source, 'train', 20))) == _COUNT - 1
    ((key, reason),) = told
    assert key == str(tmp_path / '05.png') and 'No such file' in reason


def test_records_of_the_same_file_name_are_counted_one_by_one(tmp_path):
    records = [
        example(
            image__encoded=_data(n, _BAD),
            image__class__label=n % 2,
            image__filename=b'0.png',
        )
        for n in range(_COUNT)
    ]
    write_shard(tmp_path / 'train.tfrecord', records)
    write(tmp_path / 'labels.txt', b'a\nb\n')
    source, told = tfrecord(str(tmp_path), image_size='8', channels=3), []
    source.corrupt_images = CorruptImages(3, lambda key, _: told.append(key))
    assert len(keys(evaluate(source, 'train', 4))) == _COUNT - 3
    assert sorted(told) == [f'0.png (train.tfrecord:{n})' for n in sorted(_BAD)]
    source.corrupt_images = CorruptImages(2)
    with pytest.raises(tf.errors.OpError):
        evaluate(source, 'train', 4)
    assert '3 images cannot be read' in source.corrupt_images.stopped_by


def test_damaged_records_and_labels_still_stop_it(tmp_path):
    source = _records(tmp_path / 'labels', {}, labels=3)
    source.corrupt_images = CorruptImages(5)
    with pytest.raises(tf.errors.InvalidArgumentError, match='label must be'):
        train(source, 3, 5)
    source = _records(tmp_path / 'bits', {})
    source.corrupt_images = CorruptImages(5)
    flip_bit(tmp_path / 'bits' / 'train-00000-of-00001', -40)
    with pytest.raises(tf.errors.DataLossError) as raised:
        train(source, 5, 5)
    assert 'a bit has flipped' in source.explain(raised.value)
    assert len(source.corrupt_images) == 0


@rather_files
def test_a_session_that_ends_in_the_middle_blames_nobody(make):
    source, told = make({})
    for _ in range(2):
        for _ in as_numpy_batches(source.input_fn('train', 5, training=True), 2):
            pass
    assert not told


def test_the_count_by_itself():
    told = []
    bad = CorruptImages(2, lambda *args: told.append(args))
    for key in ('x', 'y', 'x'):
        bad.note(key, lambda key=key: f'why {key}')
    assert told == [('x', 'why x'), ('y', 'why y')] and len(bad) == 2
    with pytest.raises(DataError, match='3 images cannot be read, where --max_bad'):
        bad.note('z', lambda: 'why z')
    with pytest.raises(DataError, match='3 images'):
        bad.note('x', lambda: pytest.fail('asked again'))
    assert len(told) == 3
