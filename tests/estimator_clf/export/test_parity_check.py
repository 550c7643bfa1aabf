"""What is wrong with an export is found, whatever it is; a failed check stops it."""

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
        'examples': check_examples.take(data, 'test', 5),
    }


@pytest.fixture(scope='module')
def whole(parts, tmp_path_factory):
    return export_saved_model(**parts, export_dir=str(tmp_path_factory.mktemp('whole')))


@pytest.fixture
def copy(whole, tmp_path):
    """An export to be spoilt."""
    return shutil.copytree(whole, tmp_path / '1')


def test_an_export_is_as_it_should_be(whole):
    found = '\n'.join(check(whole))
    assert 'classify, examples, serving_default, tensor' in found
    assert '5 examples, the first alone and all together: the same' in found
    assert '8 warm-up requests' in found


def test_samples_are_spread_and_have_the_pixels_of_the_pipeline(parts):
    chosen = parts['examples']
    assert [s.name for s in chosen] == ['0', '4', '9', '14', '19']
    assert all(s.encoded.startswith(b'\x89PNG') for s in chosen)
    assert all(s.features['image'].shape == (8, 8, 1) for s in chosen)
    assert check_examples.take(source(), 'test', 1000)[-1].name == '19'


@pytest.mark.parametrize('corrupt', [(), (0,), (4,), (5, 11)])
def test_samples_of_records_that_share_a_name(corrupt, tmp_path):
    # As an image of each class is called 0.png: every third has the same name here.
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
    found = check_examples.take(data, 'train', 12)
    for sample in found:
        with Image.open(io.BytesIO(sample.encoded)) as picture:
            np.testing.assert_array_equal(picture, sample.features['image'])
    # Those of a corrupt one's name cannot be told from it.
    others = [n for n in range(12) if n % 3 not in {d % 3 for d in corrupt}]
    assert len(found) == len(others)
    assert {s.name for s in check_examples.take(data, 'train', 3)} <= {
        f'caf\ufffd-{n}.png' for n in range(3)
    }


def test_samples_that_are_made_up_keep_to_the_limit():
    info = DatasetInfo('x', ('a', 'b'), (8, 8, 3), {}, (1.0,) * 3, (1.0,) * 3)
    found = check_examples.made_up(
        info, BatchDecoder((8, 8), 3, max_pixels=64), max_pixels=64
    )
    assert len(found) == 8
    assert len({sample.encoded for sample in found}) == 8


def test_no_sample_is_larger_than_a_request_may_be(tmp_path):
    for number, size in enumerate((6, 40, 6, 40)):
        path = tmp_path / f'{number % 2}' / f'{number}.png'
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(number, size))
    data = open_dataset('image_folder', str(tmp_path), image_size='6')
    assert len(check_examples.take(data, 'train', 4)) == 4
    found = check_examples.take(data, 'train', 4, max_pixels=1000)
    assert [s.name for s in found] == ['0.png', '2.png']


def test_the_checking_process_leaves_sigterm_to_the_run(whole):
    with parity_check.process() as have_checked:
        (child,) = have_checked.args
        os.kill(child.pid, signal.SIGTERM)
        have_checked(whole)
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_without_a_home(copy, monkeypatch):
    monkeypatch.setattr(os.path, 'expanduser', lambda path: path)
    with open(copy / 'saved_model.pb', 'ab') as file:
        file.write(b'z\x03\x01~\x01')  # A field that nobody knows, with a lone ~.
    assert check(copy)


def test_samples_are_found_again(parts, tmp_path):
    path = str(tmp_path / 'samples')
    wanted = check_examples.predict(
        parts['model_fn'], parts['checkpoint'], parts['examples']
    )
    check_examples.write(path, parts['examples'], wanted, 0.25)
    records, found, predictions, tolerance = check_examples.read(path)
    assert len(records) == 5 and tolerance == 0.25
    assert [s.name for s in found] == [s.name for s in parts['examples']]
    assert [s.encoded for s in found] == [s.encoded for s in parts['examples']]
    assert set(predictions) == set(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(predictions[name], array)
        assert predictions[name].dtype.kind == array.dtype.kind


def spoil_predictions(path, change):
    """Lets the checkpoint have said something else."""
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
def test_a_different_number(copy, name):
    def change(predictions):
        predictions[name][3, 1] += 2e-5 * max(1, abs(predictions[name]).max())

    spoil_predictions(copy, change)
    with pytest.raises(CheckError, match=f'{name} differ .* by .*more than 1e-05'):
        check(copy)
    check(copy, tolerance=1e-3)


def test_another_class(copy):
    def change(predictions):
        predictions['class_index'][2] ^= 1

    spoil_predictions(copy, change)
    with pytest.raises(CheckError, match='class_index are'):
        check(copy)


def test_what_is_not_a_number_is_a_difference(copy):
    def change(predictions):
        predictions['logits'][0, 0] = np.nan

    spoil_predictions(copy, change)
    with pytest.raises(CheckError, match='logits differ'):
        check(copy)


def test_names_of_equally_probable_classes_may_change_places():
    wanted = {
        'scores': np.array([[0.4, 0.4, 0.2], [0.5, 0.3, 0.2]], np.float32),
        'classes': np.array([[b'a', b'b', b'c'], [b'a', b'b', b'c']], object),
        'class_index': np.array([0, 0]),
    }
    wanted['probabilities'] = wanted['scores'][:, [2, 0, 1]]
    clear = parity_check._clear('classes', wanted, 2, 1e-5)
    assert clear.tolist() == [[False, False, True], [True, True, True]]
    assert parity_check._clear('class_index', wanted, 1, 1e-5).tolist() == [False, True]
    # The last that is listed, and the first that is not.
    wanted['probabilities'] = np.array([[0.1, 0.2, 0.4, 0.1, 0.2]], np.float32)
    wanted['scores'] = np.array([[0.4, 0.2]], np.float32)
    clear = parity_check._clear('classes', wanted, 2, 1e-5)
    assert clear.tolist() == [[True, False]]


def test_labels_of_something_else(copy):
    labels = copy / EXTRA / 'labels.txt'
    labels.write_text('bright\nmiddle\ndark\n')
    with pytest.raises(CheckError, match='labels.txt has other classes'):
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
    # What stock Estimator does: Serving would feed tf.Examples to a JPEG decoder.
    wrong = signatures['serving_default'].inputs['image_bytes'].name
    signatures['classify'].inputs['inputs'].name = wrong


@pytest.mark.parametrize(
    'change, words',
    [
        (_without_classify, 'the signatures must be .*classify'),
        (_another_method, 'classify: the method must be'),
        (_a_fixed_batch, 'tensor: .* must take any number'),
        (_another_input, 'classify: the input must be inputs, is examples'),
        (_images_for_examples, 'does not take the examples: .*image'),
    ],
)
def test_signatures_of_another_form(copy, change, words):
    edit_signatures(copy, change)
    with pytest.raises(CheckError, match=f'(?s){words}'):
        check(copy)


def test_no_warmup_for_a_signature(copy):
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


@pytest.mark.parametrize(
    'change, words',
    [
        (lambda request: _named(request, ''), None),  # Serving's word for the usual.
        (lambda request: _named(request, 'tensor'), 'a request for tensor with image_'),
        (lambda request: _named(request, 'other'), 'a request for other'),
        (_no_image, 'serving_default refuses a request: .*image'),
    ],
)
def test_warmup_requests_of_somebody_else(copy, change, words):
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


@pytest.mark.parametrize('name', [check_examples.FILE_NAME, serving_warmup.FILE_NAME])
def test_a_damaged_file(copy, name):
    file = copy / EXTRA / name
    data = file.read_bytes()
    for damaged in (data[:-3], b'', data[:20] + bytes(20) + data[40:]):
        file.write_bytes(damaged)
        with pytest.raises(CheckError, match='cannot be read|no warm-up requests'):
            check(copy)
    file.unlink()
    with pytest.raises(CheckError, match=f'{name}.*export it again'):
        check(copy)


def test_a_damaged_model(copy):
    (copy / 'saved_model.pb').write_bytes(b'junk')
    with pytest.raises(CheckError, match='cannot be loaded'):
        check(copy)
    with pytest.raises(CheckError, match='has no check.tfrecord; export it again'):
        check(copy.parent)


def test_a_path_of_this_machine_in_the_graph(copy, monkeypatch):
    monkeypatch.setattr(parity_check.os, 'getcwd', lambda: '/home/somebody/clone')
    graph = (copy / 'saved_model.pb').read_bytes()
    for text in (b'', b'a/home/somebody/clone', b'\0/home/somebody/clones'):
        (copy / 'saved_model.pb').write_bytes(graph + text)
        parity_check._check_paths(str(copy))
    (copy / 'saved_model.pb').write_bytes(graph + b'\0/home/somebody/clone/x')
    with pytest.raises(CheckError, match='a path of this machine'):
        parity_check._check_paths(str(copy))


def test_a_failed_check_leaves_no_version(parts, tmp_path, monkeypatch):
    """In the fresh process that an export is checked in."""

    def other(*args):
        predictions = dict(samples_predict(*args))
        predictions['probabilities'] = predictions['probabilities'][:, ::-1]
        return predictions

    samples_predict = check_examples.predict
    monkeypatch.setattr(check_examples, 'predict', other)
    with pytest.raises(RunError, match='not what the checkpoint is.*probabilities'):
        export_saved_model(**parts, export_dir=str(tmp_path), check=True)
    assert os.listdir(tmp_path) == []


def test_the_program(copy):
    pathlib.Path(copy, EXTRA, 'labels.txt').write_text('a\n')
    done = launch('check_export', copy.parent)
    assert done.returncode == 1
    assert done.stderr.startswith('error: labels.txt has other classes')


def test_an_export_that_fails_leaves_no_process(parts, tmp_path, monkeypatch):
    started, kill = [], subprocess.Popen.kill

    def noted(process):
        started.append(process)
        kill(process)

    monkeypatch.setattr(subprocess.Popen, 'kill', noted)
    with pytest.raises(AttributeError):
        export_saved_model(
            **dict(parts, examples=[None]), check=True, export_dir=str(tmp_path)
        )
    assert os.listdir(tmp_path) == []
    (process,) = started
    assert process.returncode is not None


def test_without_an_export_there_is_nothing_to_check(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'stdin', io.TextIOWrapper(io.BytesIO()))
    assert parity_check.main(['-']) == 0
    assert not capsys.readouterr().out
