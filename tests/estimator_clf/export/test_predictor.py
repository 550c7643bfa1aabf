"""Tests of the classification of encoded images."""

import io
import os
import shutil

from estimator_clf.compat import estimator

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from estimator_clf.core.errors import ConfigError, RunError
from estimator_clf.export import export_saved_model
from estimator_clf.export.predictor import Predictor
from input.dataset_info import DatasetInfo
from input.images.batch_decoder import BatchDecoder
from model_fns import ModelSpec, make_model_fn
from tests.helpers.small_run import NAMES, linear_model_fn, source


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """(export_dir, source, predictions of the test split by key)."""
    directory = tmp_path_factory.mktemp('model')
    data = source()
    model_fn = linear_model_fn(data.info)
    model = estimator.Estimator(model_fn, str(directory))
    model.train(data.input_fn('train', 9, training=True), max_steps=3)
    export_saved_model(
        model_fn,
        data.info,
        model.latest_checkpoint(),
        str(directory / 'export'),
        BatchDecoder((8, 8), 1),
    )
    predictions = model.predict(data.input_fn('test', 20))
    return str(directory / 'export'), data, {p['key'].decode(): p for p in predictions}


@pytest.mark.extended
def test_names_and_probabilities_sorted(model):
    directory, data, expected = model
    examples = list(data.encoded('test'))
    results = Predictor(directory).predict([image for _, image, _ in examples])
    assert len(results) == 20
    for (key, _, _), result in zip(examples, results, strict=True):
        names, probabilities = zip(*result, strict=True)
        assert list(names) == [n.decode() for n in expected[key]['classes']]
        assert probabilities == pytest.approx(expected[key]['scores'].tolist(), 1e-5)
        assert sorted(names) == sorted(NAMES)
        assert list(probabilities) == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1.0)


def test_corrupt_images_do_not_affect_others(model):
    directory, data, _ = model
    valid = [image for _, image, _ in data.encoded('test', [0, 1, 2])]
    predictor = Predictor(directory)
    alone = predictor.predict(valid)
    corrupt = [b'', b'no image', valid[0][:30]]
    mixed = predictor.predict(
        [valid[0], corrupt[0], valid[1], corrupt[1], corrupt[2], valid[2]]
    )
    for number, wanted in ((0, alone[0]), (2, alone[1]), (5, alone[2])):
        assert [n for n, _ in mixed[number]] == [n for n, _ in wanted]
        np.testing.assert_allclose(
            [p for _, p in mixed[number]], [p for _, p in wanted], rtol=1e-5
        )
    for number in (1, 3, 4):
        assert isinstance(mixed[number], tf.errors.InvalidArgumentError)


def test_no_images(model):
    assert Predictor(model[0]).predict([]) == []


def test_photo_of_another_size(model):
    buffer = io.BytesIO()
    Image.new('RGB', (640, 480), (250, 240, 245)).save(buffer, 'JPEG')
    ((best, _), *others) = Predictor(model[0]).predict([buffer.getvalue()])[0]
    assert best in NAMES and len(others) == 2


def test_path_of_a_version_or_of_a_directory_of_versions(model, tmp_path):
    (name,) = os.listdir(model[0])
    whole = os.path.join(model[0], name)
    os.symlink(whole, tmp_path / '9')
    (tmp_path / '10').mkdir()  # Not a complete version.
    (tmp_path / 'partial-11').mkdir()
    assert Predictor(str(tmp_path)).predict([]) == []
    assert Predictor(whole).predict([]) == []


@pytest.mark.parametrize('what', ['missing', 'empty', 'file'])
def test_path_without_a_model_is_refused(tmp_path, what):
    path = tmp_path / what
    if what == 'empty':
        path.mkdir()
    elif what == 'file':
        path.write_text('')
    with pytest.raises(ConfigError, match='`export_dir` must hold a SavedModel'):
        Predictor(str(path))


@pytest.mark.parametrize('damage', ['empty', 'junk', 'no weights'])
def test_corrupt_model_is_refused(model, tmp_path, damage):
    whole = os.path.join(model[0], os.listdir(model[0])[0])
    path = shutil.copytree(whole, tmp_path / '1')
    if damage == 'no weights':
        shutil.rmtree(path / 'variables')
    else:
        (path / 'saved_model.pb').write_bytes(b'junk' if damage == 'junk' else b'')
    with pytest.raises(ConfigError, match='`export_dir`: .*export it again'):
        Predictor(str(path))


def test_regression_is_refused(tmp_path):
    info = DatasetInfo('csv', (), (1,), {}, (0.0,), (1.0,))
    model_fn = make_model_fn('linear_regression')
    model = estimator.Estimator(model_fn, str(tmp_path / 'm'))
    batch = ({'x': np.ones([2, 1], np.float32)}, np.ones([2], np.float32))
    model.train(lambda: tf.data.Dataset.from_tensors(batch))
    export_saved_model(model_fn, info, model.latest_checkpoint(), str(tmp_path / 'e'))
    with pytest.raises(ConfigError, match='does not take images, but x'):
        Predictor(str(tmp_path / 'e'))


def test_model_of_another_program_is_refused(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / '1'))
    with pytest.raises(ConfigError, match='does not take images, but nothing'):
        Predictor(str(tmp_path))


def pairs_of(images):
    return [(str(i), lambda data=data: data) for i, data in enumerate(images)]


def test_any_number_of_images_in_order(model):
    directory, data, _ = model
    images = [image for _, image, _ in data.encoded('test')]
    predictor = Predictor(directory)
    wanted = predictor.predict(images)
    for size in (1, 7, 64):
        found = list(predictor.predict_all(pairs_of(images), size))
        assert [key for key, _ in found] == [str(i) for i in range(20)]
        for (_, result), want in zip(found, wanted, strict=True):
            assert [n for n, _ in result] == [n for n, _ in want]
            assert dict(result) == pytest.approx(dict(want), 1e-5)
    assert list(predictor.predict_all([])) == []


def test_read_error_is_a_result(model, tmp_path):
    directory, data, _ = model
    valid = [image for _, image, _ in data.encoded('test', [0, 1, 2])]

    def missing():
        raise FileNotFoundError(2, 'No such file or directory')

    pairs = pairs_of([valid[0], b'no image', valid[1], valid[2]])
    pairs.insert(2, ('missing', missing))
    found = dict(Predictor(directory).predict_all(pairs, 5))
    assert isinstance(found['missing'], FileNotFoundError)
    assert isinstance(found['1'], tf.errors.InvalidArgumentError)
    assert [len(found[name]) for name in '023'] == [3, 3, 3]


def test_reading_ahead_is_limited(model):
    """Otherwise a directory of a million images would be read into memory."""
    directory, data, _ = model
    ((_, image, _),) = data.encoded('test', [0])
    read = []

    def pairs():
        for number in range(1000):
            read.append(number)
            yield number, lambda: image

    results = Predictor(directory).predict_all(pairs(), 4)
    next(results)
    assert len(read) <= 20
    results.close()


@pytest.mark.extended
def test_checkpoint_predicts_as_its_export(model):
    directory, data, expected = model
    checkpoint = tf.train.latest_checkpoint(os.path.dirname(directory))
    predictor = Predictor.of_checkpoint(
        linear_model_fn(data.info), checkpoint, BatchDecoder((8, 8), 1)
    )
    examples = list(data.encoded('test'))
    results = predictor.predict([image for _, image, _ in examples])
    for (key, _, _), result in zip(examples, results, strict=True):
        assert [n for n, _ in result] == [n.decode() for n in expected[key]['classes']]
        scores = [p for _, p in result]
        assert scores == pytest.approx(expected[key]['scores'].tolist(), 1e-5)
    (error,) = predictor.predict([b'no image'])
    assert isinstance(error, tf.errors.InvalidArgumentError)


def test_checkpoint_of_another_network_is_refused(model):
    directory, data, _ = model
    checkpoint = tf.train.latest_checkpoint(os.path.dirname(directory))
    other = make_model_fn(ModelSpec('mlp', {'hidden': (4,)}, num_classes=3))
    with pytest.raises(RunError, match='another network'):
        Predictor.of_checkpoint(other, checkpoint, BatchDecoder((8, 8), 1))
