"""Atomic files and directories, and the removal of leftovers."""

import os
import signal
import stat
import subprocess
import sys

import pytest

from estimator_clf.core.atomic_files import (
    PARTIAL,
    partial_directory,
    remove_partial,
    write_atomically,
)
from tests.helpers.launching import ROOT


def test_writes_and_replaces(tmp_path):
    path = tmp_path / 'a.json'
    write_atomically(path, 'ä\n')
    write_atomically(str(path), 'second\n')
    assert path.read_text(encoding='utf-8') == 'second\n'
    assert os.listdir(tmp_path) == ['a.json']


def test_file_is_readable_by_others(tmp_path):
    write_atomically(tmp_path / 'a', '')
    assert stat.S_IMODE(os.stat(tmp_path / 'a').st_mode) == 0o644


def test_path_without_a_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_atomically('a', 'here')
    assert (tmp_path / 'a').read_text() == 'here'


@pytest.mark.parametrize('failing', ['fsync', 'replace', 'chmod'])
def test_failure_leaves_only_the_old_file(tmp_path, monkeypatch, failing):
    path = tmp_path / 'a'
    path.write_text('old')

    def fail(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match='No space left'):
        write_atomically(path, 'new')
    monkeypatch.undo()
    assert path.read_text() == 'old'
    assert os.listdir(tmp_path) == ['a']


def test_missing_directory_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / 'none' / 'a', '')


def test_partial_directory_is_renamed_or_removed(tmp_path):
    with partial_directory(tmp_path) as path:
        assert os.path.basename(path).startswith(PARTIAL)
        os.rename(path, tmp_path / 'complete')
    with pytest.raises(ZeroDivisionError), partial_directory(tmp_path) as path:
        (tmp_path / path / 'unfinished').write_text('')
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == ['complete']


HOLD = """
import sys, time
from estimator_clf.core.atomic_files import partial_directory
with partial_directory(sys.argv[1]) as path:
    print(path, flush=True)
    time.sleep(600)
"""


def test_leftovers_of_killed_processes_are_removed_and_no_others(tmp_path):
    process = subprocess.Popen(
        [sys.executable, '-c', HOLD, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        held = os.path.basename(process.stdout.readline().strip())
        (tmp_path / f'{PARTIAL}file').write_text('')
        (tmp_path / f'{PARTIAL}directory' / 'inside').mkdir(parents=True)
        (tmp_path / 'complete').mkdir()
        with partial_directory(tmp_path) as own:
            assert sorted(os.listdir(tmp_path)) == sorted(
                [held, os.path.basename(own), 'complete']
            )
            remove_partial(tmp_path)
            assert os.path.isdir(own)
        process.send_signal(signal.SIGKILL)
        process.wait()
        remove_partial(tmp_path)
        assert os.listdir(tmp_path) == ['complete']
        remove_partial(tmp_path / 'missing')
    finally:
        process.kill()
        process.communicate()
