"""NumPy arrays and .npz files."""

import numpy as np
import pytest

from input import DataError
from input.formats.arrays import arrays, from_arrays
from tests.helpers.images import write
from tests.helpers.read_dataset import evaluate

_X = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
_Y = np.array([0, 2, 1, 0, 2])


def _save(tmp_path, **content):
    path = str(tmp_path / 'set.npz')
    np.savez(path, **content)
    return path


def test_npz(tmp_path):
    path = _save(
        tmp_path, x_train=_X, y_train=_Y[:, None], x_test=_X[:2], y_test=_Y[:2]
    )
    source = arrays(path)
    assert source.name == 'arrays:set'
    assert source.class_names == ('0', '1', '2')
    assert source.num_examples == {'train': 5, 'test': 2}
    ((_, labels, images),) = evaluate(source, 'train', 5)
    assert labels == _Y.tolist()
    np.testing.assert_array_equal(images, _X[..., None])


@pytest.mark.parametrize(
    'names', [['a', 'ü', 'c'], np.array([b'a', 'ü'.encode(), b'c'])]
)
def test_class_names(tmp_path, names):
    path = _save(tmp_path, x_train=_X, y_train=_Y, class_names=names)
    assert arrays(path).class_names == ('a', 'ü', 'c')


@pytest.mark.parametrize(
    'content,match',
    [
        (
            {'x_test': _X, 'y_test': _Y},
            r"must hold x_train; it holds: \['x_test', 'y_t",
        ),
        ({'x_train': _X}, 'holds x_train but no y_train'),
        ({'x_train': _X, 'y_train': _Y / 2}, 'labels must be integers, got float64'),
        ({'x_train': _X, 'y_train': np.eye(5, 3, dtype=int)}, r'shape \[5, 3\]'),
        ({'x_train': _X, 'y_train': _Y * 0}, 'at least two classes'),
        ({'x_train': _X / 255, 'y_train': _Y}, 'images must be uint8'),
        ({'x_train': _X, 'y_train': _Y - 1}, 'got -1 for example 0'),
        ({'x_train': _X, 'y_train': np.array(1)}, r'labels of shape \[\]'),
        ({'x_train': _X, 'y_train': np.array([{}] * 5)}, 'is not a complete .npz file'),
    ],
)
def test_invalid_content_is_refused(tmp_path, content, match):
    with pytest.raises(DataError, match=match):
        arrays(_save(tmp_path, **content))


def test_corrupt_files_are_refused(tmp_path):
    path = _save(tmp_path, x_train=_X, y_train=_Y)
    with open(path, 'rb') as file:
        data = file.read()
    flipped = bytearray(data)
    flipped[200] ^= 1
    for content in (data[: len(data) // 2], b'', b'text', bytes(flipped)):
        write(path, content)
        with pytest.raises(DataError, match='set.npz is not a complete .npz file'):
            arrays(path)


def test_npy_file_is_refused(tmp_path):
    path = str(tmp_path / 'one.npy')
    np.save(path, _X)
    with pytest.raises(DataError, match='a single array'):
        arrays(path)


@pytest.mark.parametrize('path', [None, '', '/nowhere/x.npz', '/'])
def test_missing_file_is_refused(path):
    with pytest.raises(DataError, match='`data_dir` must be an .npz file'):
        arrays(path)


def test_from_arrays_accepts_lists():
    source = from_arrays({'train': (_X, _Y.tolist())})
    assert source.num_examples == {'train': 5}


def test_class_names_must_be_a_list(tmp_path):
    path = _save(tmp_path, x_train=_X, y_train=_Y, class_names='cat,dog')
    with pytest.raises(DataError, match="class_names must be a list .* got 'cat,dog'"):
        arrays(path)
