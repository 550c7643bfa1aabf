"""Slow, many, disconnecting and malformed clients; version changes under load."""

import asyncio
import base64
import gzip
import json
import select
import shutil
import socket
import threading
import time

import pytest

pytest.importorskip('tensorflow_serving', reason='needs the extra `serving`')
pytest.importorskip('aiohttp', reason='needs the extra `serving`')

import aiohttp

from estimator_clf.core.errors import ConfigError
from estimator_clf.serving import servable
from estimator_clf.serving.batching import BatchingOptions
from tests.helpers import serving_model as model

PATH = f'/v1/models/{model.MODEL}'
IMAGES = model.gray_pngs(8)


@pytest.fixture(scope='module')
def exports(tmp_path_factory):
    directory = tmp_path_factory.mktemp('exports')
    for version in (1, 2):
        model.export(directory, version)
    return directory


@pytest.fixture(scope='module')
def served(exports):
    with model.running(exports, timeout=1.5, max_body=1 << 20) as running:
        yield running


def body(*images):
    rows = [{'b64': base64.b64encode(p).decode()} for p in images]
    return json.dumps({'instances': rows}).encode()


async def send(session, served, data, path=':predict', **options):
    async with session.post(served.server.url + PATH + path, data=data, **options) as r:
        return r.status, await r.json()


async def send_all(served, images):
    """Sends a request for each image concurrently, each in its own connection."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(60)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        return await asyncio.gather(*(send(session, served, body(p)) for p in images))


def connect(served):
    return socket.create_connection(('127.0.0.1', served.server.port), timeout=10)


def head(length, path=':predict'):
    return (
        f'POST {PATH}{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n'
    ).encode()


def until_end(connection):
    """Reads until the server closes the connection."""
    data = b''
    while True:
        try:
            piece = connection.recv(1 << 16)
        except ConnectionResetError:
            return data
        if not piece:
            return data
        data += piece


def alive(served):
    ((status, _),) = asyncio.run(send_all(served, [IMAGES[0]]))
    return status == 200


@pytest.mark.extended
def test_200_concurrent_clients(exports):
    given = (IMAGES * 25)[:200]
    given[50], given[150] = b'no image', IMAGES[0][:40]
    with model.running(exports, timeout=60) as served:
        answers = asyncio.run(send_all(served, given))
    pairs = zip(given, answers, strict=True)
    for number, (png, (status, answer)) in enumerate(pairs):
        if number in (50, 150):  # Each gets its own error, and only these.
            words = 'neither JPEG' if number == 50 else 'a corrupt PNG'
            assert status == 400 and words in answer['error']
        else:
            assert status == 200, answer
            names, _ = model.expected(png, 2)
            assert answer['predictions'][0]['classes'] == names


def test_body_that_does_not_arrive(served):
    with connect(served) as connection:
        connection.sendall(head(100) + b'{"inst')
        answer = until_end(connection)
    assert answer.startswith(b'HTTP/1.1 408') and b'must arrive within' in answer
    assert alive(served)


def test_headers_that_do_not_arrive(served):
    begin = time.monotonic()
    with connect(served) as silent, connect(served) as slow:
        slow.sendall(b'POST / HTTP/1.1\r\nHo')
        assert until_end(silent) == b'' and until_end(slow) == b''
    assert time.monotonic() - begin < 8
    # Also after a complete request.
    with connect(served) as connection:
        connection.sendall(f'GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\nGET'.encode())
        assert until_end(connection).startswith(b'HTTP/1.1 200')


def test_connection_waiting_for_its_response_is_not_closed(exports, monkeypatch):
    run = servable.Servable.run

    def slow(*args):
        time.sleep(1.2)
        return run(*args)

    with model.running(exports, timeout=2.5) as served:
        monkeypatch.setattr(servable.Servable, 'run', slow)
        assert alive(served)


def test_run_exceeding_the_timeout(exports, monkeypatch):
    go = threading.Event()
    run = servable.Servable.run

    def slow(*args):
        go.wait(20)
        return run(*args)

    with model.running(exports, timeout=0.5) as served:
        monkeypatch.setattr(servable.Servable, 'run', slow)
        ((status, answer),) = asyncio.run(send_all(served, [IMAGES[0]]))
        go.set()
        assert status == 504 and 'no result within' in answer['error']


def test_disconnecting_client(served):
    for _ in range(20):
        with connect(served) as connection:
            data = body(*IMAGES)
            connection.sendall(head(len(data)) + data)
        with connect(served) as connection:
            connection.sendall(head(1000) + b'{')
    assert alive(served)


@pytest.mark.parametrize(
    'data',
    [
        b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',  # The first bytes of TLS.
        b'GET\r\n\r\n',
        b'GET / HTTP/9.9\r\n\r\n',
        b'POST /v1/models/shades:predict HTTP/1.1\r\nHost: x\r\n'
        b'Content-Length: -5\r\n\r\n',
        b'POST /v1/models/shades:predict HTTP/1.1\r\nHost: x\r\n'
        b'Transfer-Encoding: chunked\r\n\r\nZZ\r\nab\r\n',
        b'GET /' + b'a' * 100_000 + b' HTTP/1.1\r\n\r\n',
        b'GET / HTTP/1.1\r\n' + b'A: b\r\n' * 50_000 + b'\r\n',
        b'GET /%00%ff/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n',
        b'\x00' * 1000 + b'\r\n\r\n',
    ],
)
def test_malformed_request(served, data):
    with connect(served) as connection:
        try:
            connection.sendall(data)
            answer = until_end(connection)
        except (BrokenPipeError, ConnectionResetError):
            answer = b''
    assert not answer or answer.startswith(b'HTTP/1.') and answer[9:10] == b'4', answer
    assert alive(served)


def test_declared_size_above_the_limit(served):
    with connect(served) as connection:
        connection.sendall(head(1 << 40) + b'{')
        assert until_end(connection).startswith(b'HTTP/1.1 413')
    assert alive(served)


def test_compressed_bodies(served):
    async def scenario():
        async with aiohttp.ClientSession() as session:
            compressed = {'headers': {'Content-Encoding': 'gzip'}}
            good = gzip.compress(body(IMAGES[0]))
            bomb = gzip.compress(b' ' * (64 << 20))
            assert len(bomb) < 1 << 20
            return [
                await send(session, served, data, **compressed)
                for data in (good, bomb, b'not gzip', good[:-20])
            ]

    (good, _), (bomb, _), (junk, _), (cut, _) = asyncio.run(scenario())
    assert (good, bomb, junk, cut) == (200, 413, 400, 400)
    assert alive(served)


def test_concurrent_large_bodies_are_limited(exports):
    with model.running(exports, timeout=2, max_body=1 << 20) as served:
        waiting = [connect(served) for _ in range(16)]
        for connection in waiting:
            connection.sendall(head(1 << 20) + b'{')
        time.sleep(0.5)
        ((status, answer),) = asyncio.run(send_all(served, [IMAGES[0]]))
        assert status == 503 and 'at once' in answer['error']
        for connection in waiting:
            assert until_end(connection).startswith(b'HTTP/1.1 408')
            connection.close()
        assert alive(served)


@pytest.mark.extended
def test_concurrent_bodies_of_undeclared_size_are_limited(exports):
    """Chunked, compressed bodies are counted while they arrive."""
    data = gzip.compress(b'{"x": "' + b' ' * ((1 << 20) - 16))
    chunked = head(0).replace(
        b'Content-Length: 0', b'Transfer-Encoding: chunked\r\nContent-Encoding: gzip'
    )
    with model.running(exports, timeout=3, max_body=1 << 20) as served:
        waiting = [connect(served) for _ in range(17)]
        for connection in waiting:
            connection.sendall(chunked + b'%x\r\n%s\r\n' % (len(data), data))
        # The one above the budget is refused before its end.
        first = [c.recv(12) for c in select.select(waiting, [], [], 2)[0]]
        assert first == [b'HTTP/1.1 503']
        for connection in waiting:
            until_end(connection)
            connection.close()
        assert alive(served)


@pytest.mark.extended
def test_versions_change_under_load(exports, tmp_path):
    shutil.copytree(exports / '1', tmp_path / '1')
    stop = threading.Event()
    answers = []

    async def client(number, served):
        async with aiohttp.ClientSession() as session:
            while not stop.is_set():
                png = IMAGES[number]
                answers.append((png, await send(session, served, body(png))))

    async def clients(served):
        await asyncio.gather(*(client(n, served) for n in range(8)))

    with model.running(tmp_path, timeout=60) as served:
        thread = threading.Thread(target=lambda: asyncio.run(clients(served)))
        thread.start()
        for version in range(2, 6):
            source = exports / str(version % 2 + 1)
            shutil.copytree(source, tmp_path / f'partial-{version}')
            (tmp_path / f'partial-{version}').rename(tmp_path / str(version))
            wait_for_version(served, version)
            before = len(answers)
            while len(answers) < before + 16 and thread.is_alive():
                time.sleep(0.01)
        stop.set()
        thread.join(60)
    assert len(answers) >= 64
    seen = set()
    for png, (status, answer) in answers:
        assert status == 200, answer
        found = answer['predictions'][0]['classes']
        fits = [v for v in (1, 2) if found == model.expected(png, v)[0]]
        assert fits
        seen |= set(fits) if len(fits) == 1 else set()
    assert seen == {1, 2}


def wait_for_version(served, version):
    import urllib.request

    for _ in range(600):
        with urllib.request.urlopen(served.server.url + PATH) as response:
            found = json.load(response)['model_version_status']
        available = [v['version'] for v in found if v['state'] == 'AVAILABLE']
        if available == [str(version)]:
            return
        time.sleep(0.05)
    raise AssertionError(found)


def test_stop_finishes_the_requests_in_progress(exports, monkeypatch):
    running, go = threading.Event(), threading.Event()
    run = servable.Servable.run

    def slow(*args):
        running.set()
        go.wait(20)
        return run(*args)

    with model.running(exports, batching=BatchingOptions(4, 0, 1)) as served:
        monkeypatch.setattr(servable.Servable, 'run', slow)
        answers = []
        port = served.server.port
        thread = threading.Thread(
            target=lambda: answers.extend(asyncio.run(send_all(served, IMAGES)))
        )
        thread.start()
        assert running.wait(30)
        time.sleep(0.5)  # All eight are queued.
        stopping = threading.Thread(target=served.stop)
        stopping.start()
        time.sleep(0.3)
        with pytest.raises(OSError):
            socket.create_connection(('127.0.0.1', port), timeout=5).close()
        go.set()
        thread.join(30)
        stopping.join(30)
    assert [status for status, _ in answers] == [200] * 8


def test_port_in_use(exports, served):
    for argument, port in (
        ('port', served.server.port),
        ('grpc_port', served.server.port),
    ):
        with pytest.raises(
            ConfigError, match=f'`{argument}={port}` .* cannot be opened'
        ):
            with model.running(exports, **{argument: port}):
                pass
