"""Fingerprints of files and sources."""

import os
import pathlib
import shutil

import numpy as np
import pytest

from input import fingerprint
from input.fingerprint import differences, fingerprint_files
from input.formats.arrays import from_arrays
from input.formats.csv import csv
from input.formats.image_folder import image_folder
from input.formats.tfrecord import tfrecord
from tests.helpers.images import class_directories
from tests.helpers.record_examples import example, png, write_shard


def test_fingerprint_covers_size_time_and_name(tmp_path):
    path = tmp_path / 'a'
    path.write_bytes(b'abc')
    paths = [str(path)]
    seen = {
        fingerprint_files([]),
        fingerprint_files(paths),
        fingerprint_files([*paths, *paths]),
    }
    path.write_bytes(b'abcd')
    seen.add(fingerprint_files(paths))
    os.utime(path, ns=(5, 5))
    seen.add(fingerprint_files(paths))
    path.unlink()
    seen.add(fingerprint_files(paths))
    assert len(seen) == 6
    assert fingerprint_files(paths) == fingerprint_files(paths)


def test_fingerprint_of_files_moved_between_classes(tmp_path):
    paths = class_directories(str(tmp_path), {'a': 3, 'b': 3})
    before = image_folder(str(tmp_path)).fingerprint('train')
    assert image_folder(str(tmp_path)).fingerprint('train') == before
    os.rename(paths[0], tmp_path / 'b' / '9.png')
    os.rename(paths[5], tmp_path / 'a' / '9.png')
    assert image_folder(str(tmp_path)).fingerprint('train') != before


def test_fingerprint_of_arrays():
    x, y = np.zeros([4, 2, 2, 1], np.uint8), np.array([0, 1, 0, 1])
    seen = set()
    for change in (None, x, y):
        if change is not None:
            change.flat[0] += 1
        arrays = {'train': (x.copy(), y.copy())}
        seen.add(from_arrays(arrays, ('a', 'b', 'c'), name='n').fingerprint('train'))
    assert len(seen) == 3


def _identity(directory, split='train'):
    return image_folder(str(directory)).identity(split)


def test_identity_of_a_copy_is_the_same(tmp_path):
    paths = class_directories(str(tmp_path / 'one'), {'a': 3, 'b': 3})
    before = _identity(tmp_path / 'one')
    copy = shutil.copytree(tmp_path / 'one', tmp_path / 'far' / 'away')
    for path in copy.glob('*/*'):
        os.utime(path, ns=(5, 5))
    assert _identity(copy) == before
    assert differences(before, _identity(copy), ('a', 'b')) is None
    # Other content of the same name and size.
    data = bytearray(pathlib.Path(paths[0]).read_bytes())
    data[-1] ^= 1
    pathlib.Path(paths[0]).write_bytes(data)
    changed = differences(before, _identity(tmp_path / 'one'), ('a', 'b'))
    assert changed == 'other content, with as many examples as before'


def test_identity_says_what_differs(tmp_path):
    class_directories(str(tmp_path), {'a': 3, 'b': 2})
    for name in ('a', 'b'):  # Names that are unique over the classes.
        for number, path in enumerate(sorted((tmp_path / name).iterdir())):
            path.rename(tmp_path / name / f'{name}{number}.png')
    before = _identity(tmp_path)
    (tmp_path / 'a' / 'a0.png').rename(tmp_path / 'b' / 'a0.png')
    after = _identity(tmp_path)
    assert differences(before, after, ('a', 'b')) == (
        'the same images, but in other classes: a 3 before, 2 now, b 2 before, 3 now'
    )
    (tmp_path / 'b' / 'a0.png').unlink()
    assert differences(before, _identity(tmp_path), ('a', 'b')) == (
        '5 examples before, 4 now: a 3 before, 2 now'
    )


def test_identity_of_two_images_that_changed_places_between_classes(tmp_path):
    paths = class_directories(str(tmp_path), {'a': 3, 'b': 3})
    before = _identity(tmp_path)
    os.rename(paths[0], tmp_path / 'c.png')
    os.rename(paths[5], paths[0])
    os.rename(tmp_path / 'c.png', paths[5])
    assert differences(before, _identity(tmp_path), ('a', 'b'))


def test_identity_of_arrays():
    x, y = np.zeros([4, 2, 2, 1], np.uint8), np.array([0, 1, 0, 1])

    def identity(**options):
        arrays = {'train': (x.copy(), y.copy())}
        return from_arrays(arrays, ('a', 'b', 'c'), name='n', **options).identity(
            'train'
        )

    before = identity()
    assert identity() == before
    y[:2] = 1, 0
    relabelled = differences(before, identity(), ('a', 'b', 'c'))
    assert relabelled == 'the same images, but in other classes'
    y[:2] = 0, 1
    x.flat[-1] = 1
    assert differences(before, identity(), ('a', 'b', 'c')).startswith('other content')


def test_identity_of_large_arrays_samples_their_values(monkeypatch):
    monkeypatch.setattr(fingerprint, '_SAMPLED_BYTES', 64)
    x, y = np.zeros([100, 4], np.uint8), np.zeros([100], int)
    before = fingerprint.identify_arrays(x, y)
    x[:] = 1
    assert fingerprint.identify_arrays(x, y)['content'] != before['content']
    assert fingerprint.identify_arrays(x, y)['labels'] == before['labels']


@pytest.mark.parametrize('limit', [1 << 26, 1 << 16])
def test_identity_of_records(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(fingerprint, '_SAMPLED_BYTES', limit)
    path = tmp_path / 'train.tfrecord'
    path.write_bytes(bytes(range(256)) * 1024)
    before = fingerprint.identify_shards([str(path)])
    (tmp_path / 'copy').mkdir()
    copy = shutil.copy(path, tmp_path / 'copy')
    assert fingerprint.identify_shards([copy]) == before
    path.write_bytes(bytes(reversed(range(256))) * 1024)
    assert fingerprint.identify_shards([str(path)])['content'] != before['content']


def test_identity_of_a_relabelled_record_of_the_same_length(tmp_path):
    path = tmp_path / 'train.tfrecord'
    found = []
    for labels in ((0, 1, 0), (1, 1, 0)):
        records = [
            example(image__encoded=png(n), image__class__label=label)
            for n, label in enumerate(labels)
        ]
        write_shard(path, records)
        found.append(tfrecord(str(tmp_path)).identity('train'))
    assert path.stat().st_size and found[0]['names'] == found[1]['names']
    assert differences(*found, ('0', '1')).startswith('other content')


def test_identity_of_numbers(tmp_path):
    path = tmp_path / 'numbers.csv'
    found = []
    for y in (1.0, 2.0):
        path.write_text(f'x,y\n1,{y}\n2,3\n')
        found.append(csv(str(path)).identity('train'))
    assert differences(found[0], found[0], ()) is None
    assert differences(*found, ())
