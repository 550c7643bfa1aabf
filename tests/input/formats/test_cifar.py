"""CIFAR's binary files, written byte by byte."""

import numpy as np
import pytest

from input import DataError
from input.formats.cifar import cifar10, cifar100, read_batch
from tests.helpers.images import write
from tests.helpers.read_dataset import evaluate
from tests.helpers.real_data import real_data


def _records(count, labels_each=1, classes=10, seed=0):
    """Returns (file, pixels as stored [count, 3, 32, 32], labels [count, each])."""
    rng = np.random.default_rng(seed)
    stored = rng.integers(0, 256, (count, 3, 32, 32), np.uint8)
    labels = rng.integers(0, classes, (count, labels_each)).astype(np.uint8)
    rows = np.concatenate([labels, stored.reshape(count, -1)], 1)
    return rows.tobytes(), stored, labels


def _cifar10(directory, count=2):
    parts = []
    for n in range(1, 6):
        data, stored, labels = _records(count, seed=n)
        write(directory / f'data_batch_{n}.bin', data)
        parts.append((stored, labels))
    data, stored, labels = _records(3, seed=9)
    write(directory / 'test_batch.bin', data)
    names = '\n'.join(f'name{n}' for n in range(10)) + '\n\n'
    write(directory / 'batches.meta.txt', names.encode())
    return parts, (stored, labels)


def _cifar100(directory):
    data, _, labels = _records(6, 2, 20)
    write(directory / 'train.bin', data)
    write(directory / 'test.bin', data)
    for kind, count in (('fine', 100), ('coarse', 20)):
        names = '\n'.join(f'{kind}{n}' for n in range(count))
        write(directory / f'{kind}_label_names.txt', names.encode())
    return labels


@pytest.mark.parametrize('inside', ['', 'cifar-10-batches-bin'])
def test_cifar10(tmp_path, inside):
    parts, (test, test_labels) = _cifar10(tmp_path / inside)
    source = cifar10(str(tmp_path))
    assert source.class_names == tuple(f'name{n}' for n in range(10))
    assert source.num_examples == {'train': 10, 'test': 3}
    ((_, labels, images),) = evaluate(source, 'train', 10)
    stored = np.concatenate([p for p, _ in parts])
    assert labels == np.concatenate([p for _, p in parts])[:, 0].tolist()
    for channel in range(3):
        np.testing.assert_array_equal(images[..., channel], stored[:, channel])
    ((_, labels, images),) = evaluate(source, 'test', 3)
    assert labels == test_labels[:, 0].tolist()
    np.testing.assert_array_equal(images[..., 2], test[:, 2])


def test_cifar100(tmp_path):
    stored = _cifar100(tmp_path)
    for kind, column, count in (('coarse', 0, 20), ('fine', 1, 100)):
        source = cifar100(str(tmp_path), labels=kind)
        assert source.class_names[-1] == f'{kind}{count - 1}'
        ((_, labels, _),) = evaluate(source, 'train', 6)
        assert labels == stored[:, column].tolist()
    assert cifar100(str(tmp_path)).class_names[0] == 'fine0'
    with pytest.raises(DataError, match="`labels` must be 'fine' or 'coarse'"):
        cifar100(str(tmp_path), labels='medium')


@pytest.mark.parametrize(
    'change', [lambda d: d[:-1], lambda d: d + b'x', lambda d: b'']
)
def test_file_of_the_wrong_size_is_refused(tmp_path, change):
    _cifar10(tmp_path)
    data, _, _ = _records(2)
    path = write(tmp_path / 'data_batch_3.bin', change(data))
    with pytest.raises(DataError, match=f'{path} must be a multiple of 3073 bytes'):
        cifar10(str(tmp_path))


@pytest.mark.parametrize('name', ['data_batch_4.bin', 'test_batch.bin'])
def test_missing_file_is_refused(tmp_path, name):
    _cifar10(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match=f'{name} cannot be read: No such file'):
        cifar10(str(tmp_path))


def test_missing_names_are_refused(tmp_path):
    _cifar10(tmp_path)
    (tmp_path / 'batches.meta.txt').unlink()
    with pytest.raises(DataError, match='batches.meta.txt is missing'):
        cifar10(str(tmp_path))


def test_label_out_of_range_is_refused(tmp_path):
    _cifar10(tmp_path)
    data, _, _ = _records(2)
    write(tmp_path / 'data_batch_2.bin', b'\x0a' + data[1:])
    with pytest.raises(DataError, match='_2.bin, record 0: .* got 10'):
        cifar10(str(tmp_path))


def test_missing_directory_is_refused(tmp_path):
    with pytest.raises(
        DataError, match='`data_dir` must contain data_batch_1.bin .* not'
    ):
        cifar10(str(tmp_path))
    with pytest.raises(DataError, match='none is not a directory'):
        cifar100(str(tmp_path / 'none'))
    with pytest.raises(DataError, match='`data_dir` is required'):
        cifar10(None)


def test_read_batch_returns_the_requested_label(tmp_path):
    data, _, labels = _records(3, 2)
    path = write(tmp_path / 'x.bin', data)
    np.testing.assert_array_equal(read_batch(path, 2, 1)[1], labels[:, 1])


def test_real_cifar10():
    images, labels = read_batch(real_data('cifar-10-batches-bin/test_batch.bin'), 1, 0)
    assert images.shape == (10000, 32, 32, 3)
    assert np.bincount(labels).tolist() == [1000] * 10
    # Published means of the training set: 0.491, 0.482, 0.447.
    np.testing.assert_allclose(
        images.mean((0, 1, 2)) / 255, [0.4914, 0.4822, 0.4465], atol=0.01
    )
    # The first test image is a cat; adjacent pixels are similar in correct rows.
    assert labels[0] == 3
    down = np.abs(np.diff(images[:100].astype(int), axis=1)).mean()
    across = np.abs(np.diff(images[:100].astype(int), axis=2)).mean()
    assert down < 25 and across < 25
