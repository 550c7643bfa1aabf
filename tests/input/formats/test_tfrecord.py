"""The tfrecord format: files, numbers of records, features."""

import json
import os

import pytest
import tensorflow as tf

import input as data
from estimator_clf.core.errors import DataError
from input.dataset_info import DatasetInfo
from input.sources.base import as_numpy_batches
from input.tfrecord.files import compression_of, count_records
from input.tfrecord.manifest import Manifest
from input.tfrecord.shard_names import find_shards
from tests.helpers.record_examples import (
    example,
    flip_bit,
    labelled,
    png,
    write_shard,
    write_split,
)


def _open(directory, **options):
    return data.open_dataset('tfrecord', str(directory), **options)


def _labels(source, split='train'):
    return [label for _, _, label in source.encoded(split)]


@pytest.mark.parametrize('compression', ['', 'GZIP', 'ZLIB'])
def test_count_and_compression_are_detected(tmp_path, compression):
    path = write_shard(tmp_path / 'a', [labelled(n) for n in range(5)], compression)
    assert compression_of(path) == compression
    assert count_records(path, compression) == 5


@pytest.mark.parametrize('length', [0x0178, 0x8B1F])
def test_length_that_looks_like_a_magic_number(tmp_path, length):
    assert compression_of(write_shard(tmp_path / 'a', [b'.' * length])) == ''


def test_compressed_records_larger_than_a_chunk(tmp_path):
    records = [os.urandom(3 << 20), b'', os.urandom(100)]
    path = write_shard(tmp_path / 'a', records, 'GZIP')
    assert count_records(path, 'GZIP') == 3


@pytest.mark.parametrize('compression', ['', 'GZIP', 'ZLIB'])
@pytest.mark.parametrize('cut', [1, 60, 250])
def test_cut_short(tmp_path, compression, cut):
    path = write_shard(tmp_path / 'a', [os.urandom(200) for _ in range(4)], compression)
    os.truncate(path, os.path.getsize(path) - cut)
    with pytest.raises(DataError, match='is cut short'):
        count_records(path, compression)


def test_corrupt_length_is_refused(tmp_path):
    path = write_shard(tmp_path / 'a', [b'x' * 50] * 3)
    flip_bit(path, 66 * 2 + 1)
    with pytest.raises(DataError, match='the length of record 2 does not match'):
        count_records(path)


def test_other_file_is_refused(tmp_path):
    path = tmp_path / 'train.tfrecord'
    path.write_text('hello, this is a text')
    with pytest.raises(DataError, match='not a TFRecord file'):
        _open(tmp_path)


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        (['train-00000-of-00002', 'train-00001-of-00002', 'validation-00000-of-00001'],
         {'train': 2, 'validation': 1}),
        (['training.tfrecords', 'val.tfrecords', 'testing.tfrecords', 'notes.txt'],
         {'train': 1, 'validation': 1, 'test': 1}),
        (['train-00000-of-00001.tfrecord.gz', 'dev-0-of-1.tfrecord.gz'],
         {'train': 1, 'validation': 1}),
        (['mnist-train.tfrecord-00000-of-00001', 'mnist-test.tfrecord-00000-of-00001'],
         {'train': 1, 'test': 1}),
        (['flowers-0-of-2', 'flowers-1-of-2'], {'train': 2}),
        (['train/a.tfrecord', 'train/b.tfrecord', 'valid/c.tfrecord'],
         {'train': 2, 'validation': 1}),
        (['train.tfrecord', 'extra.tfrecord'], {'train': 1, 'extra': 1}),
    ],
)  # fmt: skip
def test_file_names(tmp_path, names, expected):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_shards(str(tmp_path))
    assert {split: len(paths) for split, paths in found.items()} == expected


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (['train-0-of-3', 'train-2-of-3'], 'train-1-of-3 is missing'),
        (['train-00001-of-00003.tfrecord'],
         r'train-00000-of-00003\.tfrecord and 1 more is missing'),
        (['train-0-of-2', 'train-1-of-2', 'train-0-of-1'], 'two sets'),
        (['train.tfrecord', 'val.tfrecord', 'valid.tfrecord'], 'both the validation'),
        (['a.tfrecord', 'b.tfrecord'], 'no training split, only a, b'),
        (['readme.txt'], 'contains no TFRecord files'),
        (['.train.tfrecord'], 'contains no TFRecord files'),
    ],
)  # fmt: skip
def test_invalid_file_names_are_refused(tmp_path, names, message):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=message):
        find_shards(str(tmp_path))


def test_missing_directory_is_refused(tmp_path):
    with pytest.raises(DataError, match='does not exist'):
        _open(tmp_path / 'none')
    with pytest.raises(DataError, match='`data_dir` is required'):
        data.open_dataset('tfrecord')


@pytest.mark.combinations
@pytest.mark.parametrize('compression', ['', 'GZIP', 'ZLIB'])
def test_reads_images_labels_and_names(tmp_path, compression):
    write_split(tmp_path, 'train', 9, compression=compression)
    write_split(tmp_path, 'val', 4, shards=1, start=9, compression=compression)
    source = _open(tmp_path)
    assert source.num_examples == {'train': 9, 'validation': 4}
    assert source.class_names == ('c0', 'c1', 'c2')
    assert source.image_shape == (6, 6, 3)
    (batch,) = as_numpy_batches(source.input_fn('validation', 4))
    assert batch[0]['image'][:, 1, 1, 0].tolist() == [9, 10, 11, 12]
    assert batch[0]['key'][0] == b'val-00000-of-00001:0'
    assert batch[1].tolist() == [0, 1, 2, 0]


def test_wrong_compression_is_refused(tmp_path):
    write_split(tmp_path, 'train', 4)
    with pytest.raises(DataError, match='`compression=GZIP`, but .* not compressed'):
        _open(tmp_path, compression='gzip')
    with pytest.raises(DataError, match="GZIP, ZLIB or none, got 'lzma'"):
        _open(tmp_path, compression='lzma')


def test_label_offset(tmp_path):
    write_split(tmp_path, 'train', 6, offset=1)
    source = _open(tmp_path, label_offset=1)
    assert source.class_names == ('c0', 'c1', 'c2')
    assert sorted(_labels(source)) == [0, 0, 1, 1, 2, 2]
    assert _open(tmp_path).class_names == ('0', 'c0', 'c1', 'c2')
    with pytest.raises(DataError, match='`label_offset=2`'):
        _open(tmp_path, label_offset=2)


@pytest.mark.parametrize('text', ['b\na\nz\n', '0:b\n1:a\n2:z\n'])
def test_labels_file(tmp_path, text):
    write_split(tmp_path, 'train', 6)
    (tmp_path / 'labels.txt').write_text(text)
    assert _open(tmp_path).class_names == ('b', 'a', 'z')


def test_labels_file_with_byte_order_mark(tmp_path):
    write_split(tmp_path, 'train', 6)
    (tmp_path / 'labels.txt').write_bytes('Möwe\r\na\r\nz\r\n'.encode('utf-8-sig'))
    assert _open(tmp_path).class_names == ('Möwe', 'a', 'z')
    (tmp_path / 'labels.txt').write_bytes('Möwe\na\nz\n'.encode('latin-1'))
    with pytest.raises(DataError, match='labels.txt must be text in UTF-8'):
        _open(tmp_path)


def test_label_beyond_the_labels_file_is_an_error(tmp_path):
    write_split(tmp_path, 'train', 6, shards=1)
    (tmp_path / 'labels.txt').write_text('b\na\n')
    source = _open(tmp_path)
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        list(as_numpy_batches(source.input_fn('train', 6)))
    assert (
        'corrupt example <train-00000-of-00001:2>: its label must be from 0 to 1, got 2'
        in (str(error.value))
    )


def test_text_replaces_a_missing_label(tmp_path):
    records = [
        example(image__encoded=png(n), image__class__text=text)
        for n, text in enumerate([b'dog', b'cat', b'dog'])
    ]
    records.append(example(image__encoded=png(9), image__class__label=1))
    write_shard(tmp_path / 'train.tfrecord', records[:3])
    assert _open(tmp_path).class_names == ('cat', 'dog')
    (tmp_path / 'labels.txt').write_text('cat\nant\ndog')
    write_shard(tmp_path / 'train.tfrecord', records)
    source = _open(tmp_path)
    assert _labels(source) == [2, 0, 2, 1]
    (tmp_path / 'labels.txt').write_text('cat\nant')
    with pytest.raises(DataError, match='train.tfrecord: .* no class is called dog'):
        _open(tmp_path)


def test_other_feature_names_and_file_names_as_keys(tmp_path):
    write_shard(
        tmp_path / 'train.tfrecord',
        [
            example(img=png(n), y=n % 2, image__filename=f'{n}.png'.encode())
            for n in range(4)
        ],
    )
    with pytest.raises(DataError) as error:
        _open(tmp_path)
    assert "no feature 'image/encoded'" in str(error.value)
    assert 'image/filename (text), img (text), y (integer)' in str(error.value)
    with pytest.raises(DataError, match="neither 'image/class/label' nor 'image/class"):
        _open(tmp_path, image_key='img')
    source = _open(tmp_path, image_key='img', label_key='y')
    assert [k for k, _, _ in source.encoded('train')] == [f'{n}.png' for n in range(4)]
    assert source.class_names == ('0', '1')


def test_labels_of_the_wrong_type_are_refused(tmp_path):
    write_shard(tmp_path / 'train.tfrecord', [example(image__encoded=png(1), y=1.0)])
    with pytest.raises(DataError, match="'y' must be one integer, not float"):
        _open(tmp_path, label_key='y')


def test_records_that_are_not_examples_are_refused(tmp_path):
    write_shard(tmp_path / 'train.tfrecord', [b'\xff\xff\xff garbage'])
    with pytest.raises(DataError, match='not a tf.train.Example'):
        _open(tmp_path)


def test_missing_labels_and_names_are_refused(tmp_path):
    records = [
        example(image__encoded=png(n), image__class__text=b'', image__label=n)
        for n in range(4)
    ]
    write_shard(tmp_path / 'train.tfrecord', records)
    with pytest.raises(DataError, match='neither a label in .*`label_key`'):
        _open(tmp_path)


def test_single_class_is_refused(tmp_path):
    write_split(tmp_path, 'train', 4, num_classes=1)
    with pytest.raises(DataError, match='at least two classes'):
        _open(tmp_path)


def test_implausibly_large_label_is_refused(tmp_path):
    records = [
        example(image__encoded=png(n), image__class__label=n) for n in (0, 1, 10**6)
    ]
    write_shard(tmp_path / 'train.tfrecord', records)
    with pytest.raises(DataError, match='labels go up to 1000000'):
        _open(tmp_path)


def test_empty_split_is_refused(tmp_path):
    write_shard(tmp_path / 'train.tfrecord', [])
    with pytest.raises(DataError, match="'train' has no records"):
        _open(tmp_path)


def test_size_and_channels(tmp_path):
    records = [
        example(image__encoded=png(n, 4 + n % 2, 1), image__class__label=n % 2)
        for n in range(4)
    ]
    write_shard(tmp_path / 'train.tfrecord', records)
    assert _open(tmp_path).image_shape == (64, 64, 1)
    assert _open(tmp_path, image_size='8x9', channels=3).image_shape == (8, 9, 3)


def _manifest(directory, paths):
    info = DatasetInfo(
        'x', ('a', 'b', 'c'), (8, 8, 3), {'train': 6}, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0)
    )
    shards = [
        {
            'file': os.path.basename(path),
            'examples': 3,
            'bytes': os.path.getsize(path),
        }
        for path in paths
    ]
    Manifest(info, {'train': shards}).write(directory)


def test_manifest(tmp_path):
    paths = write_split(tmp_path, 'train', 6)
    _manifest(tmp_path, paths)
    source = _open(tmp_path)
    assert source.class_names == ('a', 'b', 'c')
    assert source.image_shape == (8, 8, 3)
    assert source.info.mean == (1.0, 2.0, 3.0)
    assert source.info.num_examples == {'train': 6}
    held = _open(tmp_path, validation_split=0.5)
    assert held.info.mean != (1.0, 2.0, 3.0)
    assert sum(held.num_examples.values()) == 6


def test_manifest_detects_truncated_or_missing_files(tmp_path):
    paths = write_split(tmp_path, 'train', 6)
    _manifest(tmp_path, paths)
    os.truncate(paths[1], os.path.getsize(paths[1]) - 1)
    with pytest.raises(DataError, match='is cut short'):
        _open(tmp_path)
    os.rename(paths[0], tmp_path / 'train-0-of-1')
    os.remove(paths[1])
    with pytest.raises(DataError, match='train-00000-of-00002 is missing'):
        _open(tmp_path)


@pytest.mark.parametrize('text', ['{', '{"version": 9, "splits": {}}', '{"splits": 1}'])
def test_invalid_manifest_is_refused(tmp_path, text):
    write_split(tmp_path, 'train', 6)
    (tmp_path / 'manifest.json').write_text(text)
    with pytest.raises(DataError, match='manifest.json'):
        _open(tmp_path)
    (tmp_path / 'manifest.json').write_text(json.dumps({'name': 'of something else'}))
    assert _open(tmp_path).num_examples == {'train': 6}


def test_truncation_is_found_when_opened(tmp_path):
    paths = write_split(tmp_path, 'train', 6)
    os.truncate(paths[1], os.path.getsize(paths[1]) - 5)
    with pytest.raises(DataError, match='train-00001-of-00002 is cut short'):
        _open(tmp_path)


def test_single_file_as_data_dir(tmp_path):
    path = write_shard(tmp_path / 'whatever', [labelled(n) for n in range(4)])
    assert _open(path).num_examples == {'train': 4}


def test_unknown_option_is_refused(tmp_path):
    write_split(tmp_path, 'train', 6)
    with pytest.raises(DataError, match='`label_pattern` has no meaning'):
        _open(tmp_path, label_pattern='x')


def test_most_frequent_text_names_the_class(tmp_path):
    texts = [(0, 'cat'), (1, 'Dog'), (0, 'Cat'), (1, 'dog'), (0, 'cat')]
    records = [
        example(
            image__encoded=png(n),
            image__class__label=label,
            image__class__text=text.encode(),
        )
        for n, (label, text) in enumerate(texts)
    ]
    write_shard(tmp_path / 'train.tfrecord', records)
    # Of equally frequent ones the first by name.
    assert _open(tmp_path).class_names == ('cat', 'Dog')
