"""The program `launch.serve`, from its start to SIGTERM."""

import asyncio
import base64
import json
import re
import signal
import socket
import subprocess
import urllib.request

import pytest

pytest.importorskip('tensorflow_serving', reason='needs the extra `serving`')
pytest.importorskip('aiohttp', reason='needs the extra `serving`')

import grpc
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

from estimator_clf.serving.server import Server, ServerOptions
from tests.helpers import serving_model as model
from tests.helpers.launching import ROOT, command, launch


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    directory = tmp_path_factory.mktemp('export')
    model.export(directory, 4)
    return directory


def test_serves_until_sigterm(exported):
    process = subprocess.Popen(
        command(
            'serve',
            f'--export_dir={exported}',
            '--port=0',
            '--grpc_port=0',
            '--model_name=shades',
            '--version_labels=stable:4',
        ),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        lines = [process.stdout.readline() for _ in range(4)]
        text = ''.join(lines)
        url = re.search(r'Page:  (\S+)/\n', text)[1]
        assert f'REST:  {url}/v1/models/shades:predict\n' in text
        assert 'in production use TensorFlow Serving' in lines[3]
        png = model.gray_pngs(1)[0]
        body = {'instances': [{'b64': base64.b64encode(png).decode()}]}
        path = '/v1/models/shades/labels/stable:predict'
        data = json.dumps(body).encode()
        with urllib.request.urlopen(url + path, data, timeout=60) as response:
            (answer,) = json.load(response)['predictions']
        assert answer['classes'] == model.expected(png, 4)[0]
        with grpc.insecure_channel(re.search(r'gRPC:  (\S+)', text)[1]) as channel:
            request = get_model_status_pb2.GetModelStatusRequest()
            request.model_spec.name = 'shades'
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            (status,) = stub.GetModelStatus(request, timeout=60).model_version_status
        assert status.version == 4
        # A second server cannot open the same port, and fails before loading the model.
        port = int(url.rpartition(':')[2])
        result = launch('serve', f'--export_dir={exported}', f'--port={port}')
        assert result.returncode == 2 and 'Traceback' not in result.stderr
        assert f'--port={port} on --host=127.0.0.1 cannot be opened' in result.stderr
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert errors == 'Finishing the requests in progress.\n'
        with pytest.raises(OSError):
            socket.create_connection(('127.0.0.1', port), timeout=5).close()
    finally:
        process.kill()
        process.wait()


def test_directory_without_versions(tmp_path):
    result = launch('serve', f'--export_dir={tmp_path}', '--port=0', '--nogrpc')
    assert result.returncode == 2 and 'Traceback' not in result.stderr
    assert '--export_dir must contain a SavedModel that can be loaded' in result.stderr


def test_invalid_port():
    result = launch('serve', '--export_dir=x', '--port=85010')
    assert result.returncode == 2 and 'Traceback' not in result.stderr
    assert '85010' in result.stderr


def test_invalid_cors_origin(exported):
    result = launch(
        'serve', f'--export_dir={exported}', '--port=0', '--cors_origin=a.org/x'
    )
    assert result.returncode == 2 and 'Traceback' not in result.stderr
    assert '--cors_origin must be an origin such as' in result.stderr


def test_ipv6(exported):
    try:
        with socket.socket(socket.AF_INET6) as free:
            free.bind(('::1', 0))
    except OSError as error:
        pytest.skip(f'needs IPv6: {error}')

    async def connect():
        server = Server(
            ServerOptions(export_dir=str(exported), host='::1', port=0, grpc_port=0)
        )
        await server.start()
        try:
            assert server.grpc_address.startswith('[::1]:')
            async with grpc.aio.insecure_channel(server.grpc_address) as channel:
                await asyncio.wait_for(channel.channel_ready(), 60)
        finally:
            await server.stop()

    asyncio.run(connect())
