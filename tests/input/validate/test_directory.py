"""Scans of directories of images."""

import os

import pytest

from estimator_clf.core.errors import DataError
from input.formats.image_folder import image_folder
from input.validate.directory import DirectoryScan
from tests.helpers import images


def found(scan):
    return sorted((f.kind, os.path.basename(f.where)) for f in scan.findings)


def test_valid_directory_has_no_findings(tmp_path):
    images.class_directories(tmp_path / 'train', {'ant': 3, 'bee': 2})
    images.class_directories(tmp_path / 'val', {'ant': 1, 'bee': 2})
    scan = DirectoryScan(str(tmp_path))
    assert not scan.findings
    source = image_folder(str(tmp_path))
    assert {s: len(e) for s, e in scan.examples.items()} == source.num_examples
    train = [(path, name) for path, name in scan.examples['train']]
    assert [p for p, _, _ in source.encoded('train')] == [p for p, _ in train]
    assert [name for _, name in train] == ['ant'] * 3 + ['bee'] * 2


def test_held_out_examples_equal_those_of_training(tmp_path):
    images.class_directories(tmp_path, {'ant': 20, 'bee': 20})
    scan = DirectoryScan(str(tmp_path), validation_split=0.25)
    source = image_folder(str(tmp_path), validation_split=0.25)
    for split in ('train', 'validation'):
        paths = [path for path, _, _ in source.encoded(split)]
        assert [path for path, _ in scan.examples[split]] == paths


def test_other_files_are_reported(tmp_path):
    images.class_directories(tmp_path, {'ant': 3, 'bee': 2, 'Bee ': 1})
    png = images.numbered_png(7)
    os.makedirs(tmp_path / 'cow' / 'deep')
    images.write(tmp_path / 'stray.png', png)
    images.write(tmp_path / 'ant' / 'Thumbs.db', b'1234')
    images.write(tmp_path / 'ant' / 'noname', png)
    images.write(tmp_path / 'ant' / 'a.webp', b'RIFF')
    images.write(tmp_path / 'ant' / '.hidden', b'')
    os.mkfifo(tmp_path / 'ant' / 'pipe.png')
    scan = DirectoryScan(str(tmp_path))
    assert found(scan) == [
        ('empty_class', 'cow'),
        ('hidden_image', 'a.webp'),
        ('hidden_image', 'noname'),
        ('ignored', 'Thumbs.db'),
        ('ignored', 'pipe.png'),
        ('no_class', 'stray.png'),
        ('similar_names', 'Bee '),
    ]
    assert len(scan.examples['train']) == 6


def test_two_directories_of_one_split_are_reported(tmp_path):
    for name in ('train', 'val', 'valid'):
        images.class_directories(tmp_path / name, {'ant': 1, 'bee': 1})
    images.write(tmp_path / 'labels.csv', b'1')
    scan = DirectoryScan(str(tmp_path))
    assert found(scan) == [('ignored', 'labels.csv'), ('layout', 'valid')]
    assert all('/val/' in path for path, _ in scan.examples['validation'])


def test_class_missing_from_training_is_reported(tmp_path):
    images.class_directories(tmp_path / 'train', {'ant': 3})
    images.class_directories(tmp_path / 'valid', {'ant': 1, 'bee': 2})
    (one,) = DirectoryScan(str(tmp_path)).findings
    assert (one.kind, one.where) == ('class_not_in_train', 'bee')
    assert one.detail == '2 in validation'


def test_splits_without_training_are_reported(tmp_path):
    images.class_directories(tmp_path / 'test', {'ant': 3, 'bee': 1})
    images.class_directories(tmp_path / 'valid', {'ant': 3, 'bee': 1})
    scan = DirectoryScan(str(tmp_path))
    assert found(scan) == [('layout', 'test'), ('layout', 'valid')]
    assert {name for _, name in scan.examples['train']} == {'test', 'valid'}


def test_splits_of_other_names_are_reported(tmp_path):
    for name in ('seg_train', 'seg_test'):
        images.class_directories(tmp_path / name, {'ant': 3, 'bee': 1})
    assert found(DirectoryScan(str(tmp_path))) == [
        ('layout', 'seg_test'),
        ('layout', 'seg_train'),
    ]


def test_label_pattern(tmp_path):
    for name in ('cat.0.png', 'dog.1.png', 'cow.png'):
        images.write(tmp_path / 'train' / name, images.numbered_png(1))
    images.write(tmp_path / 'test' / '17.png', images.numbered_png(2))
    scan = DirectoryScan(str(tmp_path), r'(cat|dog)\.')
    assert found(scan) == [('ignored', 'test'), ('no_class', 'cow.png')]
    assert [name for _, name in scan.examples['train']] == ['cat', 'dog']


def test_invalid_arguments_are_refused(tmp_path):
    with pytest.raises(DataError, match='does not exist'):
        DirectoryScan(str(tmp_path / 'none'))
    with pytest.raises(DataError, match='regular expression'):
        DirectoryScan(str(tmp_path), '(cat')


def test_unreadable_directory_is_reported(tmp_path, monkeypatch):
    images.class_directories(tmp_path, {'a': 2, 'b': 2})
    images.refuse_to_list(monkeypatch, 'b')
    (finding,) = DirectoryScan(str(tmp_path)).findings
    assert (finding.kind, finding.where) == ('unreadable', str(tmp_path / 'b'))
