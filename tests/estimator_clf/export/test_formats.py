"""Tests of exports to other runtimes, against the checkpoint's predictions."""

import os
import types

from estimator_clf.compat import estimator

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.config.config import make_config
from estimator_clf.export import check_examples, formats
from estimator_clf.export.signatures import tensor_receiver
from input.dataset_info import DatasetInfo
from launch import export
from model_fns import ModelSpec, make_model_fn
from tests.helpers.images import class_directories
from tests.helpers.runtimes import ask_onnx, onnx_session, tflite_runner
from tests.helpers.small_run import source


@pytest.fixture(scope='module')
def parts(tmp_path_factory):
    """(model_fn, info, checkpoint) of a network with all common layers."""
    directory = tmp_path_factory.mktemp('model')
    data = source()
    model_fn = make_model_fn(
        ModelSpec(
            'cnn',
            {'filters': (8,), 'hidden': (8,), 'batch_norm': True},
            num_classes=3,
            class_names=data.info.class_names,
            mean=data.info.mean,
            stddev=data.info.stddev,
        )
    )
    model = estimator.Estimator(model_fn, str(directory))
    model.train(data.input_fn('train', 9, training=True), max_steps=30)
    return model_fn, data.info, model.latest_checkpoint()


@pytest.fixture(scope='module')
def images():
    input_fn = source().input_fn('test', 20)
    from input.sources.base import as_numpy_batches

    ((features, _),) = as_numpy_batches(input_fn)
    return features['image']


@pytest.fixture(scope='module')
def expected(parts, images):
    """The checkpoint's own predictions."""
    model_fn, _, checkpoint = parts
    some = [check_examples.CheckExample('', b'', {'image': image}) for image in images]
    return check_examples.predict(model_fn, checkpoint, some)


def check(outputs, expected):
    assert set(outputs) == {'probabilities', 'logits', 'scores', 'class_index'}
    for name in ('probabilities', 'scores', 'logits'):
        assert np.abs(outputs[name] - expected[name]).max() <= 1e-5, name
    np.testing.assert_array_equal(outputs['class_index'], expected['class_index'])


def labels(path):
    with open(os.path.join(path, 'labels.txt'), encoding='utf-8') as file:
        return file.read().splitlines()


def test_tensor_only_graph_has_no_strings(parts, images, expected, tmp_path):
    path = formats.export('tensor_only', *parts, str(tmp_path))
    assert labels(path) == ['dark', 'middle', 'bright']
    loaded = tf.saved_model.load(path)
    for name in ('serving_default', 'tensor'):
        signature = loaded.signatures[name]
        out = signature(image=tf.constant(images))
        check({k: v.numpy() for k, v in out.items()}, expected)
        for op in signature.graph.get_operations():
            assert not any(t.dtype == tf.string for t in op.outputs), op.name


def test_openvino(parts, images, expected, tmp_path):
    openvino = pytest.importorskip('openvino', reason='extra: openvino')
    path = formats.export('tensor_only', *parts, str(tmp_path))
    core = openvino.Core()
    # Without the hint it may compute in bfloat16 on processors that support it.
    model = core.compile_model(
        core.read_model(path), 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'}
    )
    for count in (1, 20):
        results = model(images[:count])
        out = {name: v for k, v in results.items() for name in k.names}
        check(out, {k: v[:count] for k, v in expected.items()})


def test_onnxruntime(parts, images, expected, tmp_path):
    pytest.importorskip('tf2onnx', reason='extra: onnx')
    path = formats.export('onnx', *parts, str(tmp_path))
    assert sorted(os.listdir(path)) == ['labels.txt', 'model.onnx']
    session = onnx_session(path)
    (model_input,) = session.get_inputs()
    assert (model_input.name, model_input.shape) == ('image', ['N', 8, 8, 1])
    for count in (1, 20):
        out = ask_onnx(session, images[:count])
        check(out, {k: v[:count] for k, v in expected.items()})


def test_tflite(parts, images, expected, tmp_path):
    path = formats.export('tflite', *parts, str(tmp_path))
    assert labels(path) == ['dark', 'middle', 'bright']
    run = tflite_runner(path)
    for count in (1, 20):
        out = run(image=images[:count])
        check(out, {k: v[:count] for k, v in expected.items()})


def test_tflite_in_int8(parts, images, expected, tmp_path):
    calibration = formats.calibration_inputs(source(), 'train', 40)
    assert calibration.shape == (40, 8, 8, 1) and calibration.dtype == np.uint8
    path = formats.export(
        'tflite', *parts, str(tmp_path), quantize='int8', calibration=calibration
    )
    run = tflite_runner(path)
    details = run.get_input_details()['image']
    assert details['dtype'] == np.uint8
    scale, zero = details['quantization']
    assert scale == pytest.approx(1.0, abs=0.2) and zero in (0, 1)
    out = run(image=images)
    # 8 bits are coarse for a network of 8 filters; see test_other_readers for photos.
    assert np.abs(out['probabilities'] - expected['probabilities']).mean() < 0.1
    assert (out['class_index'] == expected['class_index']).mean() >= 0.8
    interpreter = tf.lite.Interpreter(os.path.join(path, 'model.tflite'))
    types = [t['dtype'] for t in interpreter.get_tensor_details()]
    assert types.count(np.int8) > 2 * types.count(np.float32)
    size = os.path.getsize(os.path.join(path, 'model.tflite'))
    whole = formats.export('tflite', *parts, str(tmp_path / 'whole'))
    assert size < os.path.getsize(os.path.join(whole, 'model.tflite'))


def test_calibration_skips_corrupt_images(tmp_path, monkeypatch):
    *_, corrupt = class_directories(str(tmp_path / 'data'), {'a': 3, 'b': 4})
    with open(corrupt, 'r+b') as file:
        file.truncate(60)
    calls = []
    monkeypatch.setattr(formats, 'export', lambda *arguments: calls.append(arguments))
    flags = {'format': 'tflite', 'quantize': 'int8', 'export_dir': str(tmp_path)}
    monkeypatch.setattr(export, 'FLAGS', types.SimpleNamespace(**flags))
    config = make_config(dataset='image_folder', data_dir=str(tmp_path / 'data'))
    export._other((None, None, None), config, None)
    assert calls[0][-1].shape[1:] == (8, 8, 3) and 6 <= len(calls[0][-1]) <= 7


def test_calibration_has_all_classes():
    calibration = formats.calibration_inputs(source(), 'train', 9)
    assert np.ptp(calibration.mean((1, 2, 3))) > 60  # Both dark and bright images.
    assert len(formats.calibration_inputs(source(), 'train', 1000)) == 45


@pytest.mark.extended
def test_regression(tmp_path):
    info = DatasetInfo('csv', (), (2,), {}, (), ())
    model_fn = make_model_fn('linear_regression')
    model = estimator.Estimator(model_fn, str(tmp_path / 'model'))
    x = np.array([[0, 1], [1, 0]], np.float32)
    model.train(lambda: tf.data.Dataset.from_tensors(({'x': x}, x[:, 0])).repeat(3))
    parts = (model_fn, info, model.latest_checkpoint())
    path = formats.export('tflite', *parts, str(tmp_path / 'lite'))
    out = tflite_runner(path, 'serving_default')(x=x)
    some = [check_examples.CheckExample('', None, {'x': row}) for row in x]
    expected = check_examples.predict(model_fn, parts[2], some)
    np.testing.assert_allclose(out['y'], expected['y'], rtol=1e-5)
    with tf.Graph().as_default():
        assert tensor_receiver(info)[0]['x'].dtype == tf.float32
