"""Files that are whole or not there at all."""

import os
import stat

import pytest

from estimator_clf.core.atomic_files import write_atomically


def test_writes_and_replaces(tmp_path):
    path = tmp_path / 'a.json'
    write_atomically(path, 'ä\n')
    write_atomically(str(path), 'second\n')
    assert path.read_text(encoding='utf-8') == 'second\n'
    assert os.listdir(tmp_path) == ['a.json']


def test_others_may_read_it(tmp_path):
    write_atomically(tmp_path / 'a', '')
    assert stat.S_IMODE(os.stat(tmp_path / 'a').st_mode) == 0o644


def test_a_name_without_a_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_atomically('a', 'here')
    assert (tmp_path / 'a').read_text() == 'here'


@pytest.mark.parametrize('broken', ['fsync', 'replace', 'chmod'])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, broken):
    path = tmp_path / 'a'
    path.write_text('old')

    def fail(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(OSError, match='No space left'):
        write_atomically(path, 'new')
    monkeypatch.undo()
    assert path.read_text() == 'old'
    assert os.listdir(tmp_path) == ['a']


def test_no_such_directory(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / 'none' / 'a', '')
