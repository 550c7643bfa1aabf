"""Downloads of weights from a local server that fails in various ways."""

import contextlib
import errno
import hashlib
import http.server
import os
import shutil
import socket
import threading

import pytest

from estimator_clf.core.errors import ConfigError, RunError
from estimator_clf.warm_start import download as downloads
from estimator_clf.warm_start.download import download
from estimator_clf.warm_start.weight_files import WeightFiles, keras_cache

DATA = bytes(range(256)) * 1024
MD5 = hashlib.md5(DATA).hexdigest()
SHA256 = hashlib.sha256(DATA).hexdigest()


class Server:
    """A server of one file.

    Attributes:
      url: of the file.
      ranges: the Range header of each request.
      stops: bytes after which each request breaks off; later ones do not.
      status: answered in place of the file, if not 200.
      resumes: whether Range headers are respected.
      data: the file.
    """

    def __init__(self):
        self.ranges, self.stops = [], []
        self.status, self.resumes, self.data = 200, True, DATA
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *args):
                pass

        self._server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self._server.server_port}/w.h5'

    def answer(self, handler):
        wanted = handler.headers.get('Range')
        self.ranges.append(wanted)
        if self.status != 200:
            handler.send_error(self.status)
            return
        start = 0
        if wanted and self.resumes:
            start = int(wanted.removeprefix('bytes=').removesuffix('-'))
            if start >= len(self.data):
                handler.send_error(416)
                return
            handler.send_response(206)
            last = len(self.data) - 1
            handler.send_header(
                'Content-Range', f'bytes {start}-{last}/{len(self.data)}'
            )
        else:
            handler.send_response(200)
        rest = self.data[start:]
        handler.send_header('Content-Length', str(len(rest)))
        handler.end_headers()
        handler.wfile.write(rest[: self.stops.pop(0)] if self.stops else rest)

    def run(self):
        self._server.serve_forever(0.01)

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server():
    one = Server()
    threading.Thread(target=one.run, daemon=True).start()
    with contextlib.closing(one):
        yield one


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / 'cache' / 'w.h5')


def content(path):
    with open(path, 'rb') as file:
        return file.read()


def files(path):
    return sorted(os.listdir(os.path.dirname(path)))


@pytest.mark.parametrize('digest', [MD5, SHA256, SHA256.upper(), None])
def test_a_complete_file_appears(digest, server, path):
    messages = []
    download(server.url, path, digest, messages.append)
    assert content(path) == DATA
    assert files(path) == ['w.h5']
    assert server.url in messages[0]


def test_a_connection_that_breaks_off_is_resumed(server, path):
    server.stops = [1000, 500]
    download(server.url, path, MD5, print)
    assert content(path) == DATA
    assert server.ranges == [None, 'bytes=1000-', 'bytes=1500-']


def test_a_download_that_breaks_off_is_continued_by_the_next_command(server, path):
    server.stops = [1000, 1000, 1000]
    with pytest.raises(
        RunError, match=rf'broke off after 3000 of {len(DATA)} bytes.*tries again'
    ):
        download(server.url, path, MD5, print)
    assert files(path) == ['w.h5.partial']
    download(server.url, path, MD5, print)
    assert server.ranges[-1] == 'bytes=3000-'
    assert content(path) == DATA and files(path) == ['w.h5']


def test_a_server_without_ranges_sends_the_file_again(server, path):
    server.stops, server.resumes = [1000], False
    download(server.url, path, MD5, print)
    assert content(path) == DATA


def test_without_a_hash_nothing_of_an_earlier_command_is_used(server, path):
    os.makedirs(os.path.dirname(path))
    with open(path + '.partial', 'wb') as file:
        file.write(b'other')
    download(server.url, path, None, print)
    assert content(path) == DATA and server.ranges == [None]


def test_a_leftover_longer_than_the_file_is_dropped(server, path):
    os.makedirs(os.path.dirname(path))
    with open(path + '.partial', 'wb') as file:
        file.write(b'x' * (len(DATA) + 1))
    download(server.url, path, MD5, print)
    assert content(path) == DATA


@pytest.mark.parametrize('leftover', [b'', b'wrong'])
def test_a_file_with_another_hash_is_deleted(leftover, server, path):
    os.makedirs(os.path.dirname(path))
    with open(path + '.partial', 'wb') as file:
        file.write(leftover)
    server.data = DATA if leftover else DATA + b'changed'
    with pytest.raises(RunError, match=rf'another hash than {MD5}'):
        download(server.url, path, MD5, print)
    assert files(path) == []


def test_an_error_of_the_server_is_one_sentence(server, path):
    server.status = 404
    with pytest.raises(
        RunError, match=r'w\.h5 could not be downloaded: .* answered 404 .*another mach'
    ):
        download(server.url, path, MD5, print)
    assert 'w.h5' not in files(path)


def test_no_network_is_one_sentence(path, monkeypatch):
    def refuse(*args, **kwargs):
        raise socket.gaierror(-2, 'Name or service not known')

    monkeypatch.setattr(socket, 'getaddrinfo', refuse)
    with pytest.raises(RunError, match=rf'no network .*copy it to {path}.*weights_dir'):
        download('https://example.org/w.h5', path, MD5, print)
    assert 'w.h5' not in files(path)


def test_a_disk_too_small_is_noticed_before_the_download(server, path, monkeypatch):
    usage = shutil.disk_usage('/')._replace(free=1000)
    monkeypatch.setattr(downloads.shutil, 'disk_usage', lambda _: usage)
    with pytest.raises(RunError, match=r'no disk space for w\.h5 .*1000 free.*KERAS_H'):
        download(server.url, path, MD5, print)
    assert files(path) == []


def test_a_disk_that_fills_up_keeps_nothing(server, path, monkeypatch):
    def full(answer):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(downloads, '_read', full)
    with pytest.raises(RunError, match=r'no disk space for w\.h5'):
        download(server.url, path, MD5, print)
    assert files(path) == []


def test_a_file_in_the_place_of_the_directory_is_one_sentence(server, tmp_path):
    (tmp_path / 'cache').write_text('')
    with pytest.raises(RunError, match=r'w\.h5 cannot be written to .*cache'):
        download(server.url, str(tmp_path / 'cache' / 'w.h5'), MD5, print)


def test_two_downloads_of_one_file_do_not_mix(server, path):
    from estimator_clf.core.file_lock import lock_file

    os.makedirs(os.path.dirname(path))
    with open(path + '.partial', 'ab') as file:
        lock_file(file)
        with pytest.raises(RunError, match='by another process'):
            download(server.url, path, MD5, print)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.delenv('KERAS_HOME', raising=False)
    monkeypatch.delenv('ESTIMATOR_CLF_WEIGHTS', raising=False)
    return tmp_path


def test_directory_then_cache_then_download(server, home, monkeypatch):
    messages = []

    def found(directory=''):
        return WeightFiles(directory, messages.append)('w.h5', server.url, MD5)

    cached = os.path.join(keras_cache(), 'w.h5')
    assert cached == str(home / '.keras' / 'models' / 'w.h5')
    assert found() == cached and len(server.ranges) == 1
    assert messages[-1] == f'Weights: {cached}, downloaded from {server.url}'
    assert found() == cached and len(server.ranges) == 1
    assert messages[-1] == f'Weights: {cached}'
    for name in ('given', 'variable'):
        os.mkdir(home / name)
        shutil.copy(cached, home / name)
    assert found(str(home / 'given')) == str(home / 'given' / 'w.h5')
    monkeypatch.setenv('ESTIMATOR_CLF_WEIGHTS', str(home / 'variable'))
    assert found() == str(home / 'variable' / 'w.h5')
    assert found(str(home / 'given')) == str(home / 'given' / 'w.h5')
    monkeypatch.setenv('KERAS_HOME', str(home / 'other'))
    assert keras_cache() == str(home / 'other' / 'models')


def test_a_corrupt_file_of_the_cache_is_downloaded_again(server, home):
    os.makedirs(keras_cache())
    path = os.path.join(keras_cache(), 'w.h5')
    with open(path, 'wb') as file:
        file.write(DATA[:100])
    assert WeightFiles('', print)('w.h5', server.url, MD5) == path
    assert content(path) == DATA


def test_a_corrupt_file_of_the_directory_is_refused(server, home):
    (home / 'w.h5').write_bytes(DATA[:100])
    with pytest.raises(RunError, match=rf'corrupt or of another version.*{MD5}'):
        WeightFiles(str(home), print)('w.h5', server.url, MD5)
    assert server.ranges == []


def test_files_without_an_address_are_named(home, monkeypatch):
    with pytest.raises(ConfigError, match=r'no official address: copy it to .*keras'):
        WeightFiles('', print)('w.h5', None, None)
    with pytest.raises(ConfigError, match=r'`weights_dir=/none` must be a directory'):
        WeightFiles('/none', print)
    monkeypatch.setenv('ESTIMATOR_CLF_WEIGHTS', '/none')
    with pytest.raises(ConfigError, match='ESTIMATOR_CLF_WEIGHTS=/none must name'):
        WeightFiles('', print)('w.h5', None, None)
