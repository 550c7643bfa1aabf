"""Tests of the parity check: every defect of an export fails it."""

import io
import os
import pathlib
import shutil
import signal
import subprocess
import sys

from estimator_clf.compat import estimator

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from estimator_clf.core.errors import RunError
from estimator_clf.export import (
    check_examples,
    export_saved_model,
    parity_check,
    serving_warmup,
)
from estimator_clf.export.parity_check import CheckError, check
from input import open_dataset
from input.corrupt_images import CorruptImages
from input.dataset_info import DatasetInfo
from input.images.batch_decoder import BatchDecoder
from tests.helpers.launching import launch
from tests.helpers.record_examples import example, png, write_shard
from tests.helpers.small_run import linear_model_fn, source

pytestmark = pytest.mark.fresh_parity_check

v1 = tf.compat.v1
EXTRA = 'assets.extra'


@pytest.fixture(scope='module')
def parts(tmp_path_factory):
    """The arguments of an export of a trained classifier."""
    directory = tmp_path_factory.mktemp('model')
    data = source()
    model_fn = linear_model_fn(data.info)
    model = estimator.Estimator(model_fn, str(directory))
    model.train(data.input_fn('train', 9, training=True), max_steps=3)
    return {
        'model_fn': model_fn,
        'info': data.info,
        'checkpoint': model.latest_checkpoint(),
        'decode': BatchDecoder((8, 8), 1),
        'examples': check_examples.from_source(data, 'test', 5),
    }


@pytest.fixture(scope='module')
def whole(parts, tmp_path_factory):
    return export_saved_model(**parts, export_dir=str(tmp_path_factory.mktemp('whole')))


@pytest.fixture
def copy(whole, tmp_path):
    """A copy of an export, to modify."""
    return shutil.copytree(whole, tmp_path / '1')


def test_valid_export_passes(whole):
    passed = '\n'.join(check(whole))
    assert 'classify, examples, serving_default, tensor' in passed
    assert '5 examples, the first alone and all together' in passed
    assert '8 warm-up requests' in passed


def test_examples_are_spread_evenly_with_pixels_of_the_pipeline(parts):
    examples = parts['examples']
    assert [s.name for s in examples] == ['0', '4', '9', '14', '19']
    assert all(s.encoded.startswith(b'\x89PNG') for s in examples)
    assert all(s.features['image'].shape == (8, 8, 1) for s in examples)
    assert check_examples.from_source(source(), 'test', 1000)[-1].name == '19'


@pytest.mark.extended
@pytest.mark.parametrize('corrupt', [(), (0,), (4,), (5, 11)])
def test_examples_of_records_with_equal_names(corrupt, tmp_path):
    # Every third record has the same name, as if each class had its own 0.png.
    name = 'caf\xe9-{}.png'.encode('latin-1')
    records = [
        example(
            image__encoded=b'no image' if n in corrupt else png(n),
            image__class__label=n % 2,
            image__filename=name.replace(b'{}', str(n % 3).encode()),
        )
        for n in range(12)
    ]
    write_shard(tmp_path / 'train.tfrecord', records)
    data = open_dataset('tfrecord', str(tmp_path), image_size='6', channels=3)
    data.corrupt_images = CorruptImages(9)
    found = check_examples.from_source(data, 'train', 12)
    for found_example in found:
        with Image.open(io.BytesIO(found_example.encoded)) as image:
            np.testing.assert_array_equal(image, found_example.features['image'])
    # Records with the name of a corrupt one are ambiguous, and skipped.
    others = [n for n in range(12) if n % 3 not in {d % 3 for d in corrupt}]
    assert len(found) == len(others)
    assert {s.name for s in check_examples.from_source(data, 'train', 3)} <= {
        f'caf\ufffd-{n}.png' for n in range(3)
    }


def test_random_examples_respect_the_limit():
    info = DatasetInfo('x', ('a', 'b'), (8, 8, 3), {}, (1.0,) * 3, (1.0,) * 3)
    found = check_examples.random_examples(
        info, BatchDecoder((8, 8), 3, max_pixels=64), max_pixels=64
    )
    assert len(found) == 8
    assert len({example.encoded for example in found}) == 8


@pytest.mark.extended
def test_examples_respect_the_limit(tmp_path):
    for number, size in enumerate((6, 40, 6, 40)):
        path = tmp_path / f'{number % 2}' / f'{number}.png'
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(number, size))
    data = open_dataset('image_folder', str(tmp_path), image_size='6')
    assert len(check_examples.from_source(data, 'train', 4)) == 4
    found = check_examples.from_source(data, 'train', 4, max_pixels=1000)
    assert [s.name for s in found] == ['0.png', '2.png']


@pytest.mark.extended
def test_checking_process_ignores_sigterm(whole):
    with parity_check.process() as run_check:
        (child,) = run_check.args
        os.kill(child.pid, signal.SIGTERM)
        run_check(whole)
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.extended
def test_check_without_a_home_directory(copy, monkeypatch):
    monkeypatch.setattr(os.path, 'expanduser', lambda path: path)
    with open(copy / 'saved_model.pb', 'ab') as file:
        file.write(b'z\x03\x01~\x01')  # An unknown field with the text '~'.
    assert check(copy)


def test_examples_survive_a_round_trip(parts, tmp_path):
    path = str(tmp_path / 'examples')
    expected = check_examples.predict(
        parts['model_fn'], parts['checkpoint'], parts['examples']
    )
    check_examples.write(path, parts['examples'], expected, 0.25)
    records, found, predictions, tolerance = check_examples.read(path)
    assert len(records) == 5 and tolerance == 0.25
    assert [s.name for s in found] == [s.name for s in parts['examples']]
    assert [s.encoded for s in found] == [s.encoded for s in parts['examples']]
    assert set(predictions) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(predictions[name], array)
        assert predictions[name].dtype.kind == array.dtype.kind


def change_predictions(path, change):
    """Changes the recorded predictions of the checkpoint."""
    file = str(path / EXTRA / check_examples.FILE_NAME)
    _, examples, predictions, tolerance = check_examples.read(file)
    change(predictions)
    check_examples.write(file, examples, predictions, tolerance)


@pytest.mark.parametrize(
    'name',
    [
        'probabilities',
        pytest.param('logits', marks=pytest.mark.slow),
        pytest.param('scores', marks=pytest.mark.slow),
    ],
)
def test_different_value_fails(copy, name):
    def change(predictions):
        predictions[name][3, 1] += 2e-5 * max(1, abs(predictions[name]).max())

    change_predictions(copy, change)
    with pytest.raises(
        CheckError, match=f'{name} differ .* by .*more than the tolerance 1e-05'
    ):
        check(copy)
    check(copy, tolerance=1e-3)


@pytest.mark.extended
def test_different_class_fails(copy):
    def change(predictions):
        predictions['class_index'][2] ^= 1

    change_predictions(copy, change)
    with pytest.raises(CheckError, match='class_index must be'):
        check(copy)


@pytest.mark.extended
def test_nan_fails(copy):
    def change(predictions):
        predictions['logits'][0, 0] = np.nan

    change_predictions(copy, change)
    with pytest.raises(CheckError, match='logits differ'):
        check(copy)


def test_equally_probable_classes_may_be_in_any_order():
    expected = {
        'scores': np.array([[0.4, 0.4, 0.2], [0.5, 0.3, 0.2]], np.float32),
        'classes': np.array([[b'a', b'b', b'c'], [b'a', b'b', b'c']], object),
        'class_index': np.array([0, 0]),
    }
    expected['probabilities'] = expected['scores'][:, [2, 0, 1]]
    distinct = parity_check._is_distinct(expected, 2, 1e-5)
    assert distinct.tolist() == [[False, False, True], [True, True, True]]
    assert parity_check._is_distinct(expected, 1, 1e-5).tolist() == [False, True]
    # A tie of the last listed class and the first unlisted one.
    expected['probabilities'] = np.array([[0.1, 0.2, 0.4, 0.1, 0.2]], np.float32)
    expected['scores'] = np.array([[0.4, 0.2]], np.float32)
    distinct = parity_check._is_distinct(expected, 2, 1e-5)
    assert distinct.tolist() == [[True, False]]


@pytest.mark.extended
def test_other_labels_fail(copy):
    labels = copy / EXTRA / 'labels.txt'
    labels.write_text('bright\nmiddle\ndark\n')
    with pytest.raises(CheckError, match='labels.txt must have the classes'):
        check(copy)


def edit_signatures(path, change):
    from tensorflow.core.protobuf import saved_model_pb2

    file = path / 'saved_model.pb'
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    change(model.meta_graphs[0].signature_def)
    file.write_bytes(model.SerializeToString())


def _without_classify(signatures):
    del signatures['classify']


def _another_method(signatures):
    signatures['classify'].method_name = 'tensorflow/serving/predict'


def _a_fixed_batch(signatures):
    signatures['tensor'].inputs['image'].tensor_shape.dim[0].size = 1


def _another_input(signatures):
    inputs = signatures['classify'].inputs
    inputs['examples'].CopyFrom(inputs['inputs'])
    del inputs['inputs']


def _images_for_examples(signatures):
    # The behavior of stock Estimator: Serving would feed tf.Examples to a JPEG decoder.
    wrong = signatures['serving_default'].inputs['image_bytes'].name
    signatures['classify'].inputs['inputs'].name = wrong


@pytest.mark.combinations
@pytest.mark.parametrize(
    'change, words',
    [
        (_without_classify, 'the signatures must be .*classify'),
        (_another_method, 'classify: the method must be'),
        (_a_fixed_batch, 'tensor: the batch size of .* must be variable'),
        (_another_input, 'classify: the input must be inputs, got examples'),
        (_images_for_examples, 'does not accept the examples: .*image'),
    ],
)
def test_invalid_signatures_fail(copy, change, words):
    edit_signatures(copy, change)
    with pytest.raises(CheckError, match=f'(?s){words}'):
        check(copy)


@pytest.mark.extended
def test_missing_warmup_requests_fail(copy):
    file = copy / EXTRA / serving_warmup.FILE_NAME
    records = list(v1.io.tf_record_iterator(str(file)))
    with tf.io.TFRecordWriter(str(file)) as writer:
        writer.write(records[0])
    with pytest.raises(CheckError, match='no warm-up requests for'):
        check(copy)


def _named(request, name):
    log = serving_warmup._message('PredictionLog').FromString(request)
    log.predict_log.request.model_spec.signature_name = name
    return log.SerializeToString()


def _no_image(request):
    log = serving_warmup._message('PredictionLog').FromString(request)
    proto = v1.make_tensor_proto([b'no image']).SerializeToString()
    log.predict_log.request.inputs[0].value = proto
    return log.SerializeToString()


@pytest.mark.extended
@pytest.mark.parametrize(
    'change, words',
    [
        (lambda request: _named(request, ''), None),  # Serving's default.
        (lambda request: _named(request, 'tensor'), 'a request for tensor with image_'),
        (lambda request: _named(request, 'other'), 'a request for other'),
        (_no_image, 'serving_default refuses a request: .*image'),
    ],
)
def test_changed_warmup_requests(copy, change, words):
    file = copy / EXTRA / serving_warmup.FILE_NAME
    first, *others = v1.io.tf_record_iterator(str(file))
    with tf.io.TFRecordWriter(str(file)) as writer:
        for record in (change(first), *others):
            writer.write(record)
    if words is None:
        check(copy)
        return
    with pytest.raises(CheckError, match=f'(?s){words}'):
        check(copy)


@pytest.mark.combinations
@pytest.mark.parametrize('name', [check_examples.FILE_NAME, serving_warmup.FILE_NAME])
def test_corrupt_file_fails(copy, name):
    file = copy / EXTRA / name
    data = file.read_bytes()
    for corrupt in (data[:-3], b'', data[:20] + bytes(20) + data[40:]):
        file.write_bytes(corrupt)
        with pytest.raises(CheckError, match='cannot be read|no warm-up requests'):
            check(copy)
    file.unlink()
    with pytest.raises(CheckError, match=f'{name}.*export it again'):
        check(copy)


def test_corrupt_model_fails(copy):
    (copy / 'saved_model.pb').write_bytes(b'junk')
    with pytest.raises(CheckError, match='cannot be loaded'):
        check(copy)
    with pytest.raises(CheckError, match='has no check.tfrecord; export it again'):
        check(copy.parent)


def test_path_of_this_machine_in_the_graph_fails(copy, monkeypatch):
    monkeypatch.setattr(parity_check.os, 'getcwd', lambda: '/home/user/clone')
    graph = (copy / 'saved_model.pb').read_bytes()
    for text in (b'', b'a/home/user/clone', b'\0/home/user/clones'):
        (copy / 'saved_model.pb').write_bytes(graph + text)
        parity_check._check_paths(str(copy))
    (copy / 'saved_model.pb').write_bytes(graph + b'\0/home/user/clone/x')
    with pytest.raises(CheckError, match='paths of this machine'):
        parity_check._check_paths(str(copy))


@pytest.mark.extended
def test_failed_check_leaves_no_version(parts, tmp_path, monkeypatch):
    """Runs the check in a fresh process, as exports do."""

    def other(*args):
        predictions = dict(original_predict(*args))
        predictions['probabilities'] = predictions['probabilities'][:, ::-1]
        return predictions

    original_predict = check_examples.predict
    monkeypatch.setattr(check_examples, 'predict', other)
    with pytest.raises(RunError, match='differs from the checkpoint.*probabilities'):
        export_saved_model(**parts, export_dir=str(tmp_path), check=True)
    assert os.listdir(tmp_path) == []


def test_program_check_export(copy):
    pathlib.Path(copy, EXTRA, 'labels.txt').write_text('a\n')
    done = launch('check_export', copy.parent)
    assert done.returncode == 1
    assert done.stderr.startswith('error: labels.txt must have the classes')


@pytest.mark.extended
def test_failed_export_leaves_no_process(parts, tmp_path, monkeypatch):
    started, kill = [], subprocess.Popen.kill

    def recording_kill(process):
        started.append(process)
        kill(process)

    monkeypatch.setattr(subprocess.Popen, 'kill', recording_kill)
    with pytest.raises(AttributeError):
        export_saved_model(
            **dict(parts, examples=[None]), check=True, export_dir=str(tmp_path)
        )
    assert os.listdir(tmp_path) == []
    (process,) = started
    assert process.returncode is not None


def test_process_without_an_export_ends(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'stdin', io.TextIOWrapper(io.BytesIO()))
    assert parity_check.main(['-']) == 0
    assert not capsys.readouterr().out
