"""Tests of the one answer about paths."""

import os
import socket

import pytest

from estimator_clf.core import paths
from estimator_clf.core.errors import ConfigError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    return str(tmp_path)


@pytest.mark.parametrize(
    'given, wanted',
    [
        ('a', '{here}/a'),
        ('./a//b/', '{here}/a/b'),
        ('~', '{here}/home'),
        ('~/x', '{here}/home/x'),
        ('./~/x', '{here}/~/x'),
        ('a[1]*?', '{here}/a[1]*?'),
        ('$HOME', '{here}/$HOME'),
        ('a://b', '{here}/a:/b'),
        ('//x', '/x'),
        ('/x/', '/x'),
        ('link/..', '{here}/far'),
    ],
)
def test_resolve_path(given, wanted, here):
    os.makedirs('far/away')
    os.symlink('far/away', 'link')
    if '://' in given:  # With a scheme only where it begins.
        given = './' + given
    assert paths.resolve_path(given, '`data_dir`') == wanted.format(here=here)


@pytest.mark.parametrize(
    'given, words',
    [
        ('', "must be a path, got ''"),
        (' ', 'must be a path'),
        ('a\0b', 'must not contain a NUL'),
        ('gs://b/run', "on this machine, got 'gs://b/run': copy it here, or mount gs:"),
        ('s3://b', 'mount s3://'),
        ('hdfs://b', 'mount hdfs://'),
        ('HTTP://b', 'mount HTTP://'),
        ('file:///x/y', 'a path, not a URL, .*write /x/y'),
        ('file://localhost/x', 'write /x'),
        ('~no-such-user/x', r'write \./~no-such-user/x'),
    ],
)
def test_what_cannot_be_a_path(given, words):
    with pytest.raises(ConfigError, match=f'`data_dir` must.*{words}|{words}'):
        paths.resolve_path(given, '`data_dir`')


def test_a_file_whose_name_starts_with_a_tilde(here):
    open('~backup.jpg', 'w').close()
    assert paths.resolve_path('~backup.jpg', 'x') == f'{here}/~backup.jpg'


def test_a_current_directory_that_was_removed(here):
    os.mkdir('gone')
    os.chdir('gone')
    os.rmdir(f'{here}/gone')
    with pytest.raises(ConfigError, match='must be an absolute path'):
        paths.resolve_path('a', '`model_dir`')
    assert paths.resolve_path('/a', '`model_dir`') == '/a'
    assert paths.display_path('/a') == '/a'


def test_display_path_is_short_below_the_current_directory(here):
    assert paths.display_path(f'{here}/runs/a') == 'runs/a'
    assert paths.display_path('/elsewhere/a') == '/elsewhere/a'


def test_special_files():
    os.mkfifo('fifo')
    os.symlink('fifo', 'link')
    os.symlink('nothing', 'dangling')
    open('file', 'w').close()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind('socket')
        found = {n: paths.special_file(n) for n in [*os.listdir(), '/dev/null', 'a\0']}
    assert found == {
        'fifo': 'a FIFO (named pipe)',
        'link': 'a FIFO (named pipe)',
        'socket': 'a socket',
        '/dev/null': 'a device',
        'dangling': None,
        'file': None,
        'a\0': None,
    }


def test_open_pipes():
    os.mkfifo('fifo')
    reader, writer = os.pipe()
    assert paths.is_open_pipe(f'/dev/fd/{reader}')
    os.close(reader)
    os.close(writer)
    assert not any(map(paths.is_open_pipe, ['fifo', '/dev/null', '/dev/fd/999']))
