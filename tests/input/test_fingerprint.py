"""Fingerprints of files and sources."""

import os

import numpy as np

from input.fingerprint import fingerprint_files
from input.formats.arrays import from_arrays
from input.formats.image_folder import image_folder
from tests.helpers.images import class_directories


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
