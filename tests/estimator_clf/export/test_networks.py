"""Tests of every network in the formats of other runtimes."""

from estimator_clf.compat import estimator

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.export import check_examples, formats
from input.dataset_info import DatasetInfo
from model_fns import ModelSpec, make_model_fn
from tests.helpers.runtimes import ask_onnx, onnx_session, tflite_runner
from tests.helpers.small_networks import CLASSIFIERS, LEAST, SMALL, needs_keras

# Networks with rare operations: gathers, patches.
QUICK = ('airbench', 'fmp')


@pytest.fixture(
    scope='module',
    params=[
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in CLASSIFIERS
    ],
)
def exported(request, tmp_path_factory):
    """((model_fn, info, checkpoint), images, predictions) of a network."""
    name = request.param
    needs_keras(name)
    directory = str(tmp_path_factory.mktemp(name))
    size = LEAST.get(name, 8)
    images = np.random.default_rng(0).integers(0, 256, (4, size, size, 3))
    images = images.astype(np.uint8)
    labels = np.arange(4, dtype=np.int32) % 3
    classes = ('a', 'b', 'c')
    info = DatasetInfo('made', classes, (size, size, 3), {}, (127.0,), (74.0,))
    model_fn = make_model_fn(
        ModelSpec(
            name,
            SMALL.get(name),
            num_classes=3,
            class_names=classes,
            mean=info.mean,
            stddev=info.stddev,
        )
    )
    model = estimator.Estimator(model_fn, directory)
    data = {'image': images}, labels
    model.train(lambda: tf.data.Dataset.from_tensors(data), steps=1)
    checkpoint = model.latest_checkpoint()
    some = [check_examples.CheckExample('', b'', {'image': image}) for image in images]
    expected = check_examples.predict(model_fn, checkpoint, some)
    return (model_fn, info, checkpoint), images, expected


def check(found, expected):
    for name in ('probabilities', 'logits'):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-3, atol=1e-4)


@pytest.mark.combinations
def test_onnxruntime(exported, tmp_path):
    pytest.importorskip('tf2onnx', reason='extra: onnx')
    parts, images, expected = exported
    session = onnx_session(formats.export('onnx', *parts, str(tmp_path)))
    for count in (1, 4):
        out = ask_onnx(session, images[:count])
        check(out, {k: v[:count] for k, v in expected.items()})


@pytest.mark.combinations
def test_tflite(exported, tmp_path):
    parts, images, expected = exported
    run = tflite_runner(formats.export('tflite', *parts, str(tmp_path)))
    for count in (1, 4):
        out = run(image=images[:count])
        check(out, {k: v[:count] for k, v in expected.items()})
