"""Corrupt images are named, counted and skipped during a run."""

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
_CORRUPT = {
    3: b'this is no image',
    8: encode(pixels(60, 20), 'JPEG')[:500],
    9: numbered_png(9)[:-30],
}


def _data(number, corrupt):
    return corrupt.get(number, numbered_png(number))


def _files(directory, corrupt):
    paths = [
        write(directory / f'{n:02d}.png', _data(n, corrupt)) for n in range(_COUNT)
    ]
    labels = np.arange(_COUNT, dtype=np.int32) % 2
    return ImageFileSource('f', ('a', 'b'), (8, 8, 3), {'train': (paths, labels)})


def _records(directory, corrupt, labels=2):
    records = [
        example(
            image__encoded=_data(n, corrupt),
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
# Behavior that the two share, tested with records only when slow tests run.
mostly_files = pytest.mark.parametrize(
    'make', ['files', pytest.param('records', marks=pytest.mark.slow)], indirect=True
)


@pytest.fixture(name='make', scope='module')
def _make(request, tmp_path_factory):
    """Returns a function of dict number -> bytes that makes a source with these."""

    def make(corrupt, limit=5):
        source = _KINDS[request.param](tmp_path_factory.mktemp('data') / 'x', corrupt)
        recorded = []
        if limit:
            source.corrupt_images = CorruptImages(
                limit, lambda *corrupt: recorded.append(corrupt)
            )
        return source, recorded

    return make


def _numbers(batches):
    return [int(os.path.basename(key)[:2]) for key in keys(batches)]


_OPTIONS = {'seed': 2, 'augment': 'flip,resized_crop(0.5)'}


@pytest.mark.extended
@both
def test_valid_images_keep_their_places_in_training(make):
    valid, _ = make({}, limit=0)
    whole = train(valid, 12, 5, **_OPTIONS)
    source, recorded = make(_CORRUPT)
    run = train(source, 12, 5, **_OPTIONS)
    for (names, labels, images), (expected, _, were) in zip(run, whole, strict=True):
        names, expected = _numbers([(names,)]), _numbers([(expected,)])
        fine = [n for n in expected if n not in _CORRUPT]
        for place, number in enumerate(expected):
            if number in _CORRUPT:
                assert names[place] in fine
            else:
                assert names[place] == number
                np.testing.assert_array_equal(images[place], were[place])
        assert labels == [n % 2 for n in names]
        # All pixels of a numbered image have one value.
        assert images.max((1, 2, 3)).tolist() == names
    assert sorted(int(os.path.basename(key)[:2]) for key, _ in recorded) == sorted(
        _CORRUPT
    )
    reasons = {int(os.path.basename(key)[:2]): reason for key, reason in recorded}
    assert reasons[3].startswith('neither JPEG, PNG, GIF nor BMP, but ')
    assert all(reason and '\n' not in reason for reason in reasons.values())
    assert len(source.corrupt_images) == 3 and source.corrupt_images.stopped_by is None
    assert_same(train(source, 5, 5, start_step=7, **_OPTIONS), run[7:])


@pytest.mark.extended
@mostly_files
def test_blocks_of_replicas_have_a_static_size(make):
    source, _ = make(_CORRUPT)
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


@pytest.mark.extended
@mostly_files
def test_valid_data_are_read_as_without_a_limit(make):
    source, recorded = make({})
    plain, _ = make({}, limit=0)
    for one, other in (
        (train(source, 9, 5, **_OPTIONS), train(plain, 9, 5, **_OPTIONS)),
        (evaluate(source, 'train', 7), evaluate(plain, 'train', 7)),
    ):
        assert _numbers(one) == _numbers(other)
        for first, second in zip(one, other, strict=True):
            np.testing.assert_array_equal(first[2], second[2])
    assert not recorded


@pytest.mark.extended
@both
def test_evaluation_omits_corrupt_images(make):
    source, recorded = make(_CORRUPT)
    batches = evaluate(source, 'train', 4)
    assert _numbers(batches) == [n for n in range(_COUNT) if n not in _CORRUPT]
    assert [len(names) for names, _, _ in batches] == [3, 4, 2, 4, 4]
    assert [n % 2 for n in _numbers(batches)] == [y for _, ys, _ in batches for y in ys]
    evaluate(source, 'train', 4)
    assert len(recorded) == 3  # Once, however often they are read.


@pytest.mark.extended
@mostly_files
def test_evaluation_drops_batches_without_valid_images(make):
    source, _ = make({n: b'' for n in (4, 5, 6, 7)})
    batches = evaluate(source, 'train', 4)
    assert [len(names) for names, _, _ in batches] == [4] * 4
    source, _ = make({_COUNT - 1: b''})
    assert [len(x) for x, _, _ in evaluate(source, 'train', 19)] == [19]


@pytest.mark.extended
@mostly_files
def test_training_batch_without_valid_images_is_an_error(make):
    # By their first bytes they are images, and only decoding can fail.
    source, _ = make({n: b'\x89PNG\r\n\x1a\n' for n in range(_COUNT)}, limit=100)
    with pytest.raises(tf.errors.OpError) as raised:
        train(source, 1, 4)
    message = source.explain(raised.value)
    assert message.startswith('No image of a training batch can be read:\n')
    assert message.count('a corrupt PNG') == 4


@pytest.mark.extended
@both
def test_exceeded_limit_is_an_error_that_names_all(make):
    source, recorded = make(_CORRUPT, limit=2)
    with pytest.raises(tf.errors.OpError) as raised:
        train(source, 20, 5)
    assert len(recorded) == 3
    message = source.explain(raised.value)
    assert message.startswith(
        '3 images cannot be read, where `max_corrupt_images=2` is the most:\n'
    )
    for number in _CORRUPT:
        assert f'{number:02d}.png' in message


@pytest.mark.extended
@mostly_files
def test_pixel_statistics_skip_corrupt_images(make):
    source, recorded = make(_CORRUPT)
    valid = [n for n in range(_COUNT) if n not in _CORRUPT]
    assert min(valid) < source.info.mean[0] < max(valid)
    assert len(recorded) == 3


def test_missing_file_is_skipped(tmp_path):
    source = _files(tmp_path, {})
    os.remove(tmp_path / '05.png')
    recorded = []
    source.corrupt_images = CorruptImages(5, lambda *corrupt: recorded.append(corrupt))
    assert len(keys(evaluate(source, 'train', 20))) == _COUNT - 1
    ((key, reason),) = recorded
    assert key == str(tmp_path / '05.png') and 'No such file' in reason


@pytest.mark.extended
def test_records_with_the_same_key_are_counted_separately(tmp_path):
    records = [
        example(
            image__encoded=_data(n, _CORRUPT),
            image__class__label=n % 2,
            image__filename=b'0.png',
        )
        for n in range(_COUNT)
    ]
    write_shard(tmp_path / 'train.tfrecord', records)
    write(tmp_path / 'labels.txt', b'a\nb\n')
    source, recorded = tfrecord(str(tmp_path), image_size='8', channels=3), []
    source.corrupt_images = CorruptImages(3, lambda key, _: recorded.append(key))
    assert len(keys(evaluate(source, 'train', 4))) == _COUNT - 3
    assert sorted(recorded) == [f'0.png (train.tfrecord:{n})' for n in sorted(_CORRUPT)]
    source.corrupt_images = CorruptImages(2)
    with pytest.raises(tf.errors.OpError):
        evaluate(source, 'train', 4)
    assert '3 images cannot be read' in source.corrupt_images.stopped_by


@pytest.mark.extended
def test_corrupt_records_and_labels_are_errors(tmp_path):
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


@pytest.mark.extended
@mostly_files
def test_early_end_of_a_session_records_nothing(make):
    source, recorded = make({})
    for _ in range(2):
        for _ in as_numpy_batches(source.input_fn('train', 5, training=True), 2):
            pass
    assert not recorded


def test_corrupt_images_counts_up_to_the_limit():
    recorded = []
    corrupt = CorruptImages(2, lambda *args: recorded.append(args))
    for key in ('x', 'y', 'x'):
        corrupt.note(key, lambda key=key: f'why {key}')
    assert recorded == [('x', 'why x'), ('y', 'why y')] and len(corrupt) == 2
    with pytest.raises(DataError, match='3 images cannot be read, where `max_corrupt'):
        corrupt.note('z', lambda: 'why z')
    with pytest.raises(DataError, match='3 images'):
        corrupt.note('x', lambda: pytest.fail('called again'))
    assert len(recorded) == 3
