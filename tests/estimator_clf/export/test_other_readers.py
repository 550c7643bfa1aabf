"""Tests of exports in other programs: the C API, `saved_model_cli`, runtimes."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.export import formats
from tests.estimator_clf.export.test_saved_model import as_examples
from tests.helpers.exported import PHOTOS, Model, of_photos
from tests.helpers.images import write
from tests.helpers.launching import ROOT
from tests.helpers.runtimes import ask_onnx, onnx_session, tflite_runner
from tests.helpers.small_run import linear_model_fn, source

v1 = tf.compat.v1


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return Model(
        str(tmp_path_factory.mktemp('model')),
        source(),
        linear_model_fn(source().info),
        20,
    )


@pytest.fixture(scope='module')
def c_program(tmp_path_factory):
    """Path of the C reader, compiled against the TensorFlow wheel."""
    compiler = shutil.which('gcc') or shutil.which('cc')
    if not compiler:
        pytest.skip('no C compiler')
    wheel = os.path.dirname(os.path.abspath(tf.__file__))
    target = str(tmp_path_factory.mktemp('c') / 'read_saved_model')
    command = [compiler, '-O1', '-Wall', '-Werror', '-o', target]
    command += [os.path.join(ROOT, 'tests', 'helpers', 'scripts', 'read_saved_model.c')]
    command += [f'-I{wheel}/include', f'-L{wheel}', f'-Wl,-rpath,{wheel}']
    command += ['-l:libtensorflow_cc.so.2', '-l:libtensorflow_framework.so.2']
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


def read_in_c(program, model, signature, contents):
    return subprocess.run(
        [program, model.path, *model.tensors(signature), *model.files(contents)],
        capture_output=True,
        text=True,
        timeout=120,
    )


def check_in_c(program, model, signature):
    """Asserts that the C API has the checkpoint's predictions."""
    contents = model.images
    if signature != 'serving_default':
        contents = as_examples(contents)
    done = read_in_c(program, model, signature, contents)
    assert done.returncode == 0, done.stderr
    lines = [line.split('\t') for line in done.stdout.splitlines()]
    assert len(lines) == len(contents)
    assert [line[::2] for line in lines] == model.wanted['classes'].astype(str).tolist()
    scores = np.array([line[1::2] for line in lines], np.float32)
    np.testing.assert_allclose(scores, model.wanted['scores'], atol=1e-5)


@pytest.mark.extended
@pytest.mark.parametrize('signature', ['serving_default', 'examples', 'classify'])
def test_the_c_api(c_program, model, signature):
    check_in_c(c_program, model, signature)


@pytest.mark.extended
def test_the_c_api_reports_the_corrupt_image(c_program, model):
    corrupt = [model.images[0], model.images[1][:40]]
    done = read_in_c(c_program, model, 'serving_default', corrupt)
    assert done.returncode == 1
    assert 'image 1 (from 0) of 2' in done.stderr


def saved_model_cli(*arguments):
    """Runs TensorFlow's tool; returns its standard output."""
    done = subprocess.run(
        [sys.executable, '-m', 'tensorflow.python.tools.saved_model_cli', *arguments],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.extended
def test_saved_model_cli_shows_the_signatures(model):
    text = saved_model_cli('show', '--dir', model.path, '--all')
    assert "MetaGraphDef with tag-set: 'serve'" in text
    for part in (
        "signature_def['serving_default']",
        "signature_def['tensor']",
        "signature_def['examples']",
        "signature_def['classify']",
        "inputs['image_bytes'] tensor_info",
        'Method name is: tensorflow/serving/classify',
    ):
        assert part in text, part
    assert 'dtype: DT_UINT8 shape: (-1, 8, 8, 1)' in ' '.join(text.split())


@pytest.mark.extended
def test_saved_model_cli_runs_a_signature(model, tmp_path):
    np.save(tmp_path / 'in.npy', np.array(as_examples(model.images[:3])))
    arguments = [
        '--dir',
        model.path,
        '--tag_set',
        'serve',
        '--signature_def',
        'classify',
    ]
    arguments += ['--inputs', f'inputs={tmp_path}/in.npy', '--outdir', str(tmp_path)]
    saved_model_cli('run', *arguments)
    scores = np.load(tmp_path / 'scores.npy')
    np.testing.assert_allclose(scores, model.wanted['scores'][:3], atol=1e-5)
    classes = np.load(tmp_path / 'classes.npy', allow_pickle=True)
    assert (classes == model.wanted['classes'][:3]).all()


def test_the_curl_line_of_the_card(model, tmp_path):
    """Uses a server that only records its requests."""
    if not shutil.which('curl'):
        pytest.skip('no curl')
    import base64
    import http.server
    import threading

    card = open(os.path.join(model.path, 'MODEL_CARD.md'), encoding='utf-8').read()
    (line,) = [x for x in card.splitlines() if '| curl ' in x]
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers['Content-Length']))
            requests.append((self.path, json.loads(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # Larger than the maximum length of an argument.
    image = model.images[0] + bytes(300_000)
    write(tmp_path / 'image.jpg', image)
    line = line.replace('localhost:8501', f'127.0.0.1:{server.server_port}')
    done = subprocess.run(
        ['sh', '-c', line], cwd=tmp_path, capture_output=True, timeout=60
    )
    server.shutdown()
    server.server_close()
    assert done.returncode == 0 and not done.stderr, done.stderr
    ((path, body),) = requests
    assert path == '/v1/models/classifier:predict'
    (instance,) = body['instances']
    assert base64.b64decode(instance['image_bytes']['b64']) == image


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    """An export for real photos of all sizes."""
    return of_photos(str(tmp_path_factory.mktemp('photos')), check=True)


@pytest.mark.slow
@pytest.mark.parametrize('signature', ['serving_default', 'examples', 'classify'])
def test_400_photos_in_c(c_program, photos, signature):
    assert len(photos.images) == PHOTOS
    check_in_c(c_program, photos, signature)


@pytest.mark.slow
def test_400_photos_in_saved_model_cli(photos, tmp_path):
    inputs = {
        'serving_default': ('image_bytes', np.array(photos.images)),
        'tensor': ('image', np.stack([x.features['image'] for x in photos.samples])),
        'examples': ('examples', np.array(as_examples(photos.images))),
        'classify': ('inputs', np.array(as_examples(photos.images))),
    }
    for signature, (name, values) in inputs.items():
        directory = tmp_path / signature
        directory.mkdir()
        np.save(directory / 'in.npy', values)
        arguments = ['--dir', photos.path, '--tag_set', 'serve']
        arguments += ['--signature_def', signature, '--outdir', str(directory)]
        saved_model_cli('run', *arguments, '--inputs', f'{name}={directory}/in.npy')
        scores = np.load(directory / 'scores.npy')
        np.testing.assert_allclose(scores, photos.wanted['scores'], atol=1e-5)
        classes = np.load(directory / 'classes.npy', allow_pickle=True)
        assert (classes == photos.wanted['classes']).all()


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['openvino', 'onnx', 'tflite', 'tflite int8'])
def test_400_photos_in_other_runtimes(photos, kind, tmp_path):
    images = np.stack([sample.features['image'] for sample in photos.samples])
    kind, _, quantize = kind.partition(' ')
    parts = (photos.model_fn, photos.info, photos.checkpoint, str(tmp_path))
    if kind == 'openvino':
        openvino = pytest.importorskip('openvino', reason='extra: openvino')
        core = openvino.Core()
        path = formats.export('tensor_only', *parts)
        hint = {'INFERENCE_PRECISION_HINT': 'f32'}
        results = core.compile_model(core.read_model(path), 'CPU', hint)(images)
        out = {name: value for key, value in results.items() for name in key.names}
    elif kind == 'onnx':
        pytest.importorskip('tf2onnx', reason='extra: onnx')
        out = ask_onnx(onnx_session(formats.export('onnx', *parts)), images)
    else:
        some = formats.calibration_inputs(photos.source, 'train', 100)
        path = formats.export('tflite', *parts, quantize, some)
        out = tflite_runner(path)(image=images)
    difference = np.abs(out['probabilities'] - photos.wanted['probabilities'])
    if quantize:
        assert difference.mean() < 0.02
        assert (out['class_index'] == photos.wanted['class_index']).mean() >= 0.9
    else:
        assert difference.max() < 1e-5
        assert (out['class_index'] == photos.wanted['class_index']).all()
