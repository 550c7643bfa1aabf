"""Pictures in, names and probabilities out."""

import functools
import io
import os
import shutil

from estimator_clf.compat import estimator

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from small_run import NAMES, linear_model_fn, source

from estimator_clf.errors import ConfigError
from estimator_clf.export import export_saved_model
from estimator_clf.predict import Predictor
from input import decode
from input.dataset_info import DatasetInfo
from model_fns import make_model_fn


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """(export_dir, source, predictions of the test split by key)."""
    folder = tmp_path_factory.mktemp('model')
    data = source()
    model_fn = linear_model_fn(data.info)
    model = estimator.Estimator(model_fn, str(folder))
    model.train(data.input_fn('train', 9, training=True), max_steps=3)
    export_saved_model(
        model_fn,
        data.info,
        model.latest_checkpoint(),
        str(folder / 'export'),
        functools.partial(decode.decode, size=(8, 8), channels=1),
    )
    predictions = model.predict(data.input_fn('test', 20))
    return str(folder / 'export'), data, {p['key'].decode(): p for p in predictions}


def test_names_and_probabilities_sorted(model):
    folder, data, expected = model
    examples = list(data.encoded('test'))
    results = Predictor(folder).predict([picture for _, picture, _ in examples])
    assert len(results) == 20
    for (key, _, _), result in zip(examples, results, strict=True):
        names, probabilities = zip(*result, strict=True)
        assert list(names) == [n.decode() for n in expected[key]['classes']]
        assert probabilities == pytest.approx(expected[key]['scores'].tolist(), 1e-5)
        assert sorted(names) == sorted(NAMES)
        assert list(probabilities) == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1.0)


def test_one_that_is_no_picture_does_not_spoil_the_others(model):
    folder, data, _ = model
    good = [picture for _, picture, _ in data.encoded('test', [0, 1, 2])]
    predictor = Predictor(folder)
    alone = predictor.predict(good)
    bad = [b'', b'no picture', good[0][:30]]
    mixed = predictor.predict([good[0], bad[0], good[1], bad[1], bad[2], good[2]])
    for number, wanted in ((0, alone[0]), (2, alone[1]), (5, alone[2])):
        assert [n for n, _ in mixed[number]] == [n for n, _ in wanted]
        np.testing.assert_allclose(
            [p for _, p in mixed[number]], [p for _, p in wanted], rtol=1e-5
        )
    for number in (1, 3, 4):
        assert isinstance(mixed[number], tf.errors.InvalidArgumentError)


def test_no_pictures(model):
    assert Predictor(model[0]).predict([]) == []


def test_a_photo_of_another_size(model):
    buffer = io.BytesIO()
    Image.new('RGB', (640, 480), (250, 240, 245)).save(buffer, 'JPEG')
    ((best, _), *others) = Predictor(model[0]).predict([buffer.getvalue()])[0]
    assert best in NAMES and len(others) == 2


def test_the_newest_version_or_the_one_that_is_named(model, tmp_path):
    (name,) = os.listdir(model[0])
    whole = os.path.join(model[0], name)
    os.symlink(whole, tmp_path / '9')
    (tmp_path / '10').mkdir()  # Not a whole one.
    (tmp_path / 'partial-11').mkdir()
    assert Predictor(str(tmp_path)).predict([]) == []
    assert Predictor(whole).predict([]) == []


@pytest.mark.parametrize('what', ['missing', 'empty', 'file'])
def test_no_model_there(tmp_path, what):
    path = tmp_path / what
    if what == 'empty':
        path.mkdir()
    elif what == 'file':
        path.write_text('')
    with pytest.raises(ConfigError, match='--export_dir must hold a SavedModel'):
        Predictor(str(path))


@pytest.mark.parametrize('damage', ['empty', 'junk', 'no weights'])
def test_a_damaged_model(model, tmp_path, damage):
    whole = os.path.join(model[0], os.listdir(model[0])[0])
    path = shutil.copytree(whole, tmp_path / '1')
    if damage == 'no weights':
        shutil.rmtree(path / 'variables')
    else:
        (path / 'saved_model.pb').write_bytes(b'junk' if damage == 'junk' else b'')
    with pytest.raises(ConfigError, match='--export_dir: .*export it again'):
        Predictor(str(path))


def test_a_model_of_numbers(tmp_path):
    info = DatasetInfo('csv', (), (1,), {}, (0.0,), (1.0,))
    model_fn = make_model_fn('linear_regression')
    model = estimator.Estimator(model_fn, str(tmp_path / 'm'))
    batch = ({'x': np.ones([2, 1], np.float32)}, np.ones([2], np.float32))
    model.train(lambda: tf.data.Dataset.from_tensors(batch))
    export_saved_model(model_fn, info, model.latest_checkpoint(), str(tmp_path / 'e'))
    with pytest.raises(ConfigError, match='does not take pictures, but x'):
        Predictor(str(tmp_path / 'e'))


def test_a_model_of_somebody_else(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / '1'))
    with pytest.raises(ConfigError, match='does not take pictures, but nothing'):
        Predictor(str(tmp_path))
