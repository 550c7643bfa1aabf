"""Numbers in columns."""

import numpy as np
import pytest
import tensorflow as tf

from input import DataError
from input.formats.csv import csv, from_values
from input.sources.base import as_numpy_batches
from tests.helpers.images import write


def _open(tmp_path, text, **options):
    data = text if isinstance(text, bytes) else text.encode()
    return csv(write(tmp_path / 'line.csv', data), **options)


@pytest.mark.parametrize(
    'text',
    [
        'x,y\n1,2\n3,4.5\n-1e3,0\n',
        '1,2\r\n3,4.5\r\n\r\n-1e3,0',
        '\ufeff"x","y"\n1 , 2\n 3,4.5\n\n-1000,0\n\n',
    ],
)
def test_values(tmp_path, text):
    source = _open(tmp_path, text)
    assert source.num_examples == {'train': 3}
    ((features, labels),) = as_numpy_batches(source.input_fn('train', 5))
    np.testing.assert_array_equal(features['x'], [[1.0], [3.0], [-1000.0]])
    np.testing.assert_array_equal(labels, [2.0, 4.5, 0.0])
    assert features['x'].dtype == labels.dtype == np.float32
    assert features['key'][2] == b'csv:line/train/2'


def test_several_columns(tmp_path):
    source = _open(tmp_path, 'a,b,c\n1,2,3\n4,5,6\n')
    features, labels = source.input_fn('train', 2, training=True)().element_spec
    assert features['x'] == tf.TensorSpec([2, 2], tf.float32)
    assert labels == tf.TensorSpec([2], tf.float32)
    assert source.info.image_shape == (2,)
    assert source.info.class_names == source.info.mean == ()


def test_validation_split(tmp_path):
    text = '\n'.join(f'{n},{n}' for n in range(50))
    source = _open(tmp_path, text, validation_split=0.3)
    seen = [
        value
        for split in ('train', 'validation')
        for _, labels in as_numpy_batches(source.input_fn(split, 7))
        for value in labels
    ]
    assert sorted(seen) == list(range(50))


@pytest.mark.parametrize(
    'text,match',
    [
        ('', 'has no rows of numbers'),
        ('x,y\n', 'has no rows of numbers'),
        ('x,y\n1,2\n3,four\n', "line 3: must be numbers between commas, got '3,four'"),
        ('1,2\n3\n', 'line 2: every line must have the same number of columns'),
        ('1\n2\n', 'line 1: .* at least two, got 1'),
        ('1,2\n3,\n', "line 2: must be numbers between commas, got '3,'"),
        ('x;y\n1;2\n', "line 2: must be numbers between commas, got '1;2'"),
        ('1,2\nnan,3\n', 'must be finite'),
        (b'\xff\xd8\xff\xe0\x00', 'must be text in UTF-8'),
    ],
)
def test_invalid_table_is_refused(tmp_path, text, match):
    with pytest.raises(DataError, match=match):
        _open(tmp_path, text)


@pytest.mark.parametrize('path', [None, '/nowhere.csv', '/'])
def test_missing_file_is_refused(path):
    with pytest.raises(DataError, match='`data_dir` must be a CSV file'):
        csv(path)


@pytest.mark.parametrize('augment', ['flip', 'crop(4)'])
def test_augmentation_is_refused(augment):
    source = from_values({'train': ([1.0, 2.0], [1.0, 2.0])})
    with pytest.raises(DataError, match='`augment` has no meaning for values'):
        source.input_fn('train', 1, training=True, augment=augment)


def test_encoded_images_are_refused():
    with pytest.raises(DataError, match='no images'):
        from_values({'train': ([1.0], [1.0])}).encoded('train')


def test_invalid_values_are_refused():
    with pytest.raises(
        DataError, match=r'x \[N, D\] and y \[N\], got \[2, 1\] and \[1'
    ):
        from_values({'train': ([1.0, 2.0], [1.0])})
    with pytest.raises(DataError, match='must be finite'):
        from_values({'train': ([1.0, np.inf], [1.0, 2.0])})


def test_class_counts_are_refused(tmp_path):
    source = _open(tmp_path, '1,2\n3,4\n')
    with pytest.raises(DataError, match='no classes to count'):
        source.class_counts('train')
