"""MNIST's idx files, written byte by byte."""

import gzip
import struct

import numpy as np
import pytest

from input import DataError
from input.formats.idx import idx, read_idx
from tests.helpers.images import write
from tests.helpers.read_dataset import evaluate
from tests.helpers.real_data import real_data


def _idx(array):
    header = struct.pack(f'>BBBB{array.ndim}i', 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def _images(count=6, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 5, 7), np.uint8)


def _write(
    directory, prefix='', first=0, zipped=False, count=6, splits=('train', 't10k')
):
    labels = first + np.arange(count) % 3
    for split in splits:
        for kind, data in (
            ('images-idx3', _idx(_images(count))),
            ('labels-idx1', _idx(labels)),
        ):
            name = f'{prefix}{split}-{kind}-ubyte'
            if zipped:
                write(directory / f'{name}.gz', gzip.compress(data))
            else:
                write(directory / name, data)
    return labels


@pytest.mark.parametrize('zipped', [False, True])
@pytest.mark.parametrize('inside', ['', 'mnist'])
def test_mnist(tmp_path, zipped, inside):
    labels = _write(tmp_path / inside, zipped=zipped)
    source = idx(str(tmp_path))
    assert source.class_names == ('0', '1', '2')
    assert source.num_examples == {'train': 6, 'test': 6}
    ((_, found, images),) = evaluate(source, 'train', 6)
    assert found == labels.tolist()
    np.testing.assert_array_equal(images[..., 0], _images())


def test_compressed_and_plain_copies_count_once(tmp_path):
    """As after `gunzip -k`."""
    _write(tmp_path, zipped=True)
    _write(tmp_path)
    assert idx(str(tmp_path)).num_examples == {'train': 6, 'test': 6}


def test_idx_prefix_selects_a_set(tmp_path):
    _write(tmp_path, 'emnist-letters-', first=1)
    _write(tmp_path, 'emnist-digits-', count=9)
    with pytest.raises(DataError, match='more than one test split .*`prefix`'):
        idx(str(tmp_path))
    source = idx(str(tmp_path), prefix='emnist-letters-')
    assert source.num_examples == {'train': 6, 'test': 6}
    assert source.class_names == ('1', '2', '3')
    assert source.name == 'emnist-letters'
    ((_, labels, _),) = evaluate(source, 'train', 6)
    assert labels == [0, 1, 2, 0, 1, 2]
    with pytest.raises(DataError, match='must contain x-train-images'):
        idx(str(tmp_path), prefix='x-')


@pytest.mark.parametrize(
    'first,names,expected',
    [
        (0, 'a b c', ('a', 'b', 'c')),
        (1, 'a b c', ('a', 'b', 'c')),  # For the labels that occur, as EMNIST's.
        (1, 'none a b c', ('none', 'a', 'b', 'c')),  # For all numbers from 0.
    ],
)
def test_class_names(tmp_path, first, names, expected):
    _write(tmp_path, first=first)
    write(tmp_path / 'labels.txt', names.replace(' ', '\n').encode())
    source = idx(str(tmp_path))
    assert source.class_names == expected
    ((_, labels, _),) = evaluate(source, 'train', 6)
    assert [source.class_names[n] for n in labels] == ['a', 'b', 'c'] * 2


def test_too_few_names_are_refused(tmp_path):
    _write(tmp_path)
    write(tmp_path / 'labels.txt', b'a\nb\n')
    with pytest.raises(DataError, match='labels must be from 0 to 1, got 2'):
        idx(str(tmp_path))


_NAME = 'train-images-idx3-ubyte'


@pytest.mark.parametrize(
    'data,match',
    [
        (_idx(_images())[:-1], 'must be 226 bytes long .* got 225: it is cut short'),
        (_idx(_images()) + b'x', 'must be 226 bytes long .* got 227'),
        (_idx(_images())[:10], 'must have a header of 16 bytes, but all of it is 10'),
        (b'', 'must begin with the bytes 0 0 8 3'),
        (b'hello, I am text', 'must begin with the bytes 0 0 8 3 .* 104 101 108 108'),
        (_idx(np.zeros(6)), 'must begin with the bytes 0 0 8 3 .* got 0 0 8 1'),
        (gzip.compress(_idx(_images()))[:-9], 'cannot be read .* cut short or corrupt'),
        (gzip.compress(_idx(_images()))[:-4] + b'abcd', 'cannot be read .* corrupt'),
        (struct.pack('>BBBB3i', 0, 0, 8, 3, -1, 5, 7), 'must have a shape without'),
    ],
)
def test_corrupt_files_are_refused(tmp_path, data, match):
    _write(tmp_path)
    write(tmp_path / _NAME, data)
    with pytest.raises(DataError, match=f'{_NAME} {match}'):
        idx(str(tmp_path))


def test_invalid_shapes_are_refused(tmp_path):
    for shape, match in (
        ((-2, -3, 1), r'without negative numbers .* \[-2, -3, 1\]'),
        ((2**31 - 1,) * 3, 'must be 99035203004479'),
    ):
        header = struct.pack('>BBBB3i', 0, 0, 8, 3, *shape)
        path = write(tmp_path / 'x', header + bytes(6))
        with pytest.raises(DataError, match=match):
            read_idx(path, 3)


def test_wrong_number_of_labels_is_refused(tmp_path):
    _write(tmp_path)
    write(tmp_path / 'train-labels-idx1-ubyte', _idx(np.arange(5)))
    with pytest.raises(DataError, match=r'6 images but labels of shape \[5\]'):
        idx(str(tmp_path))


def test_missing_labels_are_refused(tmp_path):
    _write(tmp_path)
    (tmp_path / 'train-labels-idx1-ubyte').unlink()
    with pytest.raises(DataError, match=r'no labels: train-labels.*is miss'):
        idx(str(tmp_path))


def test_missing_training_files_are_refused(tmp_path):
    _write(tmp_path, splits=('t10k',))
    with pytest.raises(DataError, match='must contain train-images-idx3-ubyte'):
        idx(str(tmp_path))


def test_fewer_than_two_classes_are_refused(tmp_path):
    _write(tmp_path)
    write(tmp_path / 'train-labels-idx1-ubyte', _idx(np.ones(6)))
    with pytest.raises(DataError, match='at least two classes'):
        idx(str(tmp_path))
    _write(tmp_path, count=0)
    with pytest.raises(DataError, match='training split is empty'):
        idx(str(tmp_path))


def test_missing_directory_is_refused(tmp_path):
    with pytest.raises(DataError, match='must contain train-images.* does not'):
        idx(str(tmp_path))
    with pytest.raises(DataError, match='none is not a directory'):
        idx(str(tmp_path / 'none'))
    with pytest.raises(DataError, match='`data_dir` is required'):
        idx(None)


def test_real_mnist():
    directory = real_data('mnist')
    images = read_idx(f'{directory}/t10k-images-idx3-ubyte.gz', 3)
    labels = read_idx(f'{directory}/t10k-labels-idx1-ubyte.gz', 1)
    assert images.shape == (10000, 28, 28)
    assert labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(labels)[0] == 980


def test_emnist_is_recognized_and_transposed_on_request(tmp_path):
    _write(tmp_path, 'emnist-letters-')
    stored = idx(str(tmp_path))
    (note,) = stored.losses()
    assert 'transposed images' in note and 'idx(transpose=True)' in note
    assert stored.image_shape == (5, 7, 1)
    assert not idx(str(tmp_path), transpose=False).losses()
    upright = idx(str(tmp_path), transpose=True)
    assert not upright.losses() and upright.image_shape == (7, 5, 1)
    ((_, _, images),) = evaluate(upright, 'train', 6)
    np.testing.assert_array_equal(images[..., 0], _images().transpose(0, 2, 1))


def test_other_sets_have_no_note(tmp_path):
    _write(tmp_path)
    assert not idx(str(tmp_path)).losses()
