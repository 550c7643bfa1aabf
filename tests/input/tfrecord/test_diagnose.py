"""An invalid record is named by file, number, and what is wrong with its features."""

import pytest
import tensorflow as tf

import input as data
from estimator_clf.core.errors import DataError
from input.convert.to_tfrecords import convert
from input.sources.base import as_numpy_batches
from input.tfrecord.diagnose import Features
from input.validate import Report, check_data
from tests.helpers.record_examples import example, labelled, png, write_shard

_IMAGE, _LABEL = 'image/encoded', 'image/class/label'


def _several(**features):
    record = tf.train.Example.FromString(labelled(1))
    for name, values in features.items():
        feature = record.features.feature[name.replace('__', '/')]
        values_of = feature.bytes_list if 'encoded' in name else feature.int64_list
        del values_of.value[:]
        values_of.value.extend(values)
    return record.SerializeToString()


INVALID = {
    'two labels': (
        _several(image__class__label=[1, 0]),
        f'its feature {_LABEL!r} must be one integer, got 2 x integer',
    ),
    'float label': (
        example(image__encoded=png(1), image__class__label=1.0),
        f'its feature {_LABEL!r} must be one integer, got float',
    ),
    'no image': (
        example(image__class__label=1),
        f'it has no feature {_IMAGE!r}; it has: {_LABEL} (integer)',
    ),
    'two images': (
        _several(image__encoded=[png(1), png(2)]),
        f'its feature {_IMAGE!r} must be one text, got 2 x text',
    ),
    'image of integers': (
        example(image__encoded=7, image__class__label=1),
        f'its feature {_IMAGE!r} must be one text, got integer',
    ),
    'no Example': (b'\xff\xffjunk', 'it is not a tf.train.Example (6 bytes'),
}


def _shard(tmp_path, record):
    records = [labelled(n) for n in range(66)]
    (tmp_path / 'labels.txt').write_text('c0\nc1\nc2\n')
    return write_shard(tmp_path / 'train.tfrecord', [*records, record, labelled(66)])


@pytest.mark.combinations
@pytest.mark.parametrize('name', INVALID)
def test_training_and_conversion_name_the_record(tmp_path, name):
    record, words = INVALID[name]
    path = _shard(tmp_path, record)
    source = data.open_dataset('tfrecord', str(tmp_path), image_size=6, channels=3)
    with pytest.raises(tf.errors.OpError) as raised:
        list(as_numpy_batches(source.input_fn('train', 4)))
    message = source.explain(raised.value)
    assert f'{path}, record 66: {words}' in message
    with pytest.raises(DataError) as refused:
        convert(
            {'name': 'tfrecord', 'data_dir': str(tmp_path), 'image_size': 6},
            str(tmp_path / 'out'),
            workers=1,
        )
    assert f'{path}, record 66: {words}' in str(refused.value)


@pytest.mark.parametrize('name', ['two labels', 'float label', 'no Example'])
def test_opening_without_names_of_classes_names_the_record(tmp_path, name):
    record, words = INVALID[name]
    path = _shard(tmp_path, record)
    (tmp_path / 'labels.txt').unlink()
    with pytest.raises(DataError) as raised:
        data.open_dataset('tfrecord', str(tmp_path), image_size=6, channels=3)
    assert f'{path}, record 66: {words}' in str(raised.value)


@pytest.mark.combinations
@pytest.mark.parametrize('name', INVALID)
def test_check_has_the_same_words(tmp_path, name):
    record, words = INVALID[name]
    path = _shard(tmp_path, record)
    report = Report()
    check_data({'name': 'tfrecord', 'data_dir': str(tmp_path)}, report)
    (finding,) = report.first['unreadable']
    assert finding.where == f'{path}, record 66' and words in finding.detail


def test_valid_records_have_no_reason():
    assert Features().why_invalid(labelled(1)) is None
    text_only = example(image__encoded=png(1), image__class__text=b'c1')
    assert Features().why_invalid(text_only) is None


@pytest.mark.parametrize('size,shape', [(28 * 28, '28 x 28 x 1'), (75, '5 x 5 x 3')])
def test_raw_pixels_are_refused_at_opening(tmp_path, size, shape):
    records = [
        example(image__encoded=bytes([200 + n]) * size, image__class__label=n % 2)
        for n in range(4)
    ]
    write_shard(tmp_path / 'train.tfrecord', records)
    with pytest.raises(DataError, match=f'{size} bytes and no header, as raw pixels'):
        data.open_dataset('tfrecord', str(tmp_path))
    with pytest.raises(DataError, match=shape):
        data.open_dataset('tfrecord', str(tmp_path))


def test_records_of_another_kind_are_refused_at_opening(tmp_path):
    webp = b'RIFF\x24\0\0\0WEBPVP8 '
    records = [example(image__encoded=webp, image__class__label=n) for n in (0, 1)]
    write_shard(tmp_path / 'train.tfrecord', records)
    with pytest.raises(DataError, match='none of the first 2 records .* but WebP; con'):
        data.open_dataset('tfrecord', str(tmp_path))


def test_label_out_of_range_names_file_and_record(tmp_path):
    _shard(tmp_path, example(image__encoded=png(1), image__class__label=-1))
    source = data.open_dataset('tfrecord', str(tmp_path))
    with pytest.raises(tf.errors.InvalidArgumentError, match='train.tfrecord:66'):
        list(as_numpy_batches(source.input_fn('train', 4)))
