"""Tests of SavedModels: atomic creation, and predictions as of the checkpoint."""

import io
import os
import pathlib
import signal
import subprocess
import sys
import textwrap

from estimator_clf.compat import estimator

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from estimator_clf.core.atomic_files import PARTIAL
from estimator_clf.core.errors import RunError
from estimator_clf.export import (
    check_examples,
    export_saved_model,
    list_versions,
    parity_check,
    saved_model,
)
from input.dataset_info import DatasetInfo
from input.images.batch_decoder import BatchDecoder
from model_fns import ModelSpec, make_model_fn
from tests.helpers.small_run import NAMES, linear_model_fn, source
from tests.input.images.test_headers import png_bomb

v1 = tf.compat.v1
ROOT = pathlib.Path(__file__).resolve().parents[3]


class Trained:
    """A trained classifier and the arguments of its export."""

    def __init__(self, directory):
        self.data = source()
        self.info = self.data.info
        self.model_fn = linear_model_fn(self.info)
        self.model = estimator.Estimator(self.model_fn, str(directory))
        self.model.train(self.data.input_fn('train', 9, training=True), max_steps=3)
        self.checkpoint = tf.train.latest_checkpoint(str(directory))
        self.examples = check_examples.from_source(self.data, 'test', 3)
        self.decode = BatchDecoder((8, 8), 1, max_pixels=10_000_000)

    def export(self, directory, **changed):
        arguments = {
            'model_fn': self.model_fn,
            'info': self.info,
            'checkpoint': self.checkpoint,
            'export_dir': str(directory),
            'decode': self.decode,
            'examples': self.examples,
        }
        return export_saved_model(**{**arguments, **changed})


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    return Trained(tmp_path_factory.mktemp('model'))


@pytest.fixture(scope='module')
def exported(trained, tmp_path_factory):
    return trained.export(tmp_path_factory.mktemp('export'))


@pytest.fixture(scope='module')
def loaded(exported):
    model = tf.saved_model.load(exported)
    yield model.signatures
    del model  # It owns the variables.


@pytest.fixture(scope='module')
def expected(trained):
    """(encoded images, predictions of the checkpoint by Estimator)."""
    predictions = {
        p['key'].decode(): p
        for p in trained.model.predict(trained.data.input_fn('test', 7))
    }
    examples = list(trained.data.encoded('test'))
    return [d for _, d, _ in examples], [predictions[key] for key, _, _ in examples]


def check_outputs(outputs, expected, classify=False):
    names = {'classes', 'scores'}
    if not classify:
        names |= {'class_index', 'probabilities', 'logits'}
    assert set(outputs) == names
    for name, values in outputs.items():
        values = np.asarray(values)
        wanted = np.array([p[name] for p in expected])
        if values.dtype.kind == 'f':
            np.testing.assert_allclose(values, wanted, rtol=1e-5, atol=1e-6)
        else:
            assert (values == wanted).all(), name


def as_examples(images):
    """Serialized `tf.Example`s, as clients send them."""
    return [
        tf.train.Example(
            features=tf.train.Features(
                feature={
                    'image/encoded': tf.train.Feature(
                        bytes_list=tf.train.BytesList(value=[image])
                    )
                }
            )
        ).SerializeToString()
        for image in images
    ]


def requests(images):
    """dict signature -> (method, name of the input, value)."""
    return {
        'serving_default': ('predict', 'image_bytes', images),
        'tensor': ('predict', 'image', np.stack([decode_png(i) for i in images])),
        'examples': ('predict', 'examples', as_examples(images)),
        'classify': ('classify', 'inputs', as_examples(images)),
    }


@pytest.mark.extended
def test_all_signatures_in_tensorflow_2(loaded, expected):
    images, predictions = expected
    assert set(loaded) == set(requests(images))
    for name, (method, key, value) in requests(images).items():
        got = loaded[name](**{key: tf.constant(value)})
        got = {k: v.numpy() for k, v in got.items()}
        check_outputs(got, predictions, method == 'classify')


@pytest.mark.extended
def test_all_signatures_in_the_loader_of_serving(exported, expected):
    images, predictions = expected
    with tf.Graph().as_default(), v1.Session() as session:
        meta = v1.saved_model.load(session, ['serve'], exported)
        for name, (method, key, value) in requests(images).items():
            signature = meta.signature_def[name]
            assert list(signature.inputs) == [key]
            assert signature.method_name == f'tensorflow/serving/{method}'
            assert signature.inputs[key].tensor_shape.dim[0].size == -1
            outputs = {k: t.name for k, t in signature.outputs.items()}
            # REST would encode text outputs with this ending in base 64.
            assert not [k for k in outputs if k.endswith('_bytes')]
            got = session.run(outputs, {signature.inputs[key].name: value})
            check_outputs(got, predictions, method == 'classify')


def decode_png(data):
    return np.asarray(Image.open(io.BytesIO(data)))[..., None]


def test_any_number_of_images(loaded, expected):
    for count in (0, 1, 2, 11):
        images = tf.constant(expected[0][:count], tf.string, [count])
        out = loaded['serving_default'](image_bytes=images)
        assert out['classes'].shape == (count, 3)
        assert out['probabilities'].shape == (count, 3)


def encode(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_images_of_every_kind_and_size(trained, loaded):
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (31, 47, 3)).astype(np.uint8))
    gray = noise.convert('L')
    frames = [gray.resize((20, 10)), gray.resize((20, 10)).rotate(180)]
    images = {
        'jpeg': encode(noise, 'JPEG'),
        'gray jpeg': encode(gray, 'JPEG'),
        'cmyk jpeg': encode(noise.convert('CMYK'), 'JPEG'),
        'png': encode(noise.resize((200, 100)), 'PNG'),
        'gray png': encode(gray.resize((8, 8)), 'PNG'),
        'alpha png': encode(noise.convert('RGBA'), 'PNG'),
        'gray alpha png': encode(gray.convert('LA'), 'PNG'),
        'palette png': encode(noise.convert('P'), 'PNG'),
        '16 bit png': encode(
            Image.fromarray(rng.integers(0, 65536, (9, 9)).astype(np.uint16)), 'PNG'
        ),
        'one pixel': encode(noise.resize((1, 1)), 'PNG'),
        'gif': encode(gray, 'GIF'),
        'animated gif': encode(
            frames[0], 'GIF', save_all=True, append_images=frames[1:]
        ),
        'bmp': encode(noise, 'BMP'),
        'gray bmp': encode(gray, 'BMP'),
    }
    out = loaded['serving_default'](image_bytes=tf.constant([*images.values()]))
    # Decoded one by one with the function that training uses.
    pixels = np.stack([trained.decode(tf.constant(p)) for p in images.values()])
    assert pixels.shape == (len(images), 8, 8, 1)
    wanted = loaded['tensor'](image=tf.constant(pixels))
    np.testing.assert_allclose(out['logits'], wanted['logits'], rtol=1e-5, atol=1e-6)
    assert np.isfinite(out['logits']).all()
    assert len(np.unique(out['logits'].numpy().round(6), axis=0)) > len(images) // 2


CORRUPT = {
    b'': 'no image at all',
    b'text': 'neither JPEG, PNG, GIF nor BMP, but text',
    png_bomb(20000): '20000 x 20000 pixels are more than the 10000000',
    b'\x89PNG\r\n\x1a\nxxxxxxxxxxx': 'a corrupt PNG',
    b'\xff\xd8\xffxxxxxx': 'a corrupt JPEG',
}


@pytest.mark.parametrize('corrupt', CORRUPT, ids=lambda data: repr(data[:12]))
def test_an_error_names_the_image_and_the_reason(loaded, expected, corrupt):
    valid = expected[0]
    words = f'image 2 .from 0. of 4>: .*{CORRUPT[corrupt]}'
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        images = [valid[0], valid[1], corrupt, valid[2]]
        loaded['serving_default'](image_bytes=tf.constant(images))
    with pytest.raises(tf.errors.InvalidArgumentError, match='image 0 .* of 2'):
        loaded['classify'](inputs=tf.constant(as_examples([corrupt, corrupt])))
    with pytest.raises(tf.errors.InvalidArgumentError):
        loaded['serving_default'](image_bytes=tf.constant([corrupt]))


def test_an_example_without_an_image_is_named(loaded, expected):
    examples = [*as_examples(expected[0][:1]), b'']
    with pytest.raises(tf.errors.InvalidArgumentError, match='image 1 .* of 2'):
        loaded['examples'](examples=tf.constant(examples))
    with pytest.raises(tf.errors.InvalidArgumentError):
        loaded['classify'](inputs=tf.constant([b'\n\x7f']))


def test_labels_travel(exported):
    labels = pathlib.Path(exported, 'assets.extra', 'labels.txt').read_text()
    assert labels.splitlines() == list(NAMES)
    graph = pathlib.Path(exported, 'saved_model.pb').read_bytes()
    assert all(name.encode() in graph for name in NAMES)
    assert b'/tmp/' not in graph and str(ROOT).encode() not in graph


class ExportError(Exception):
    pass


@pytest.mark.combinations
@pytest.mark.parametrize(
    'where, error',
    [('built', ExportError), ('labelled', KeyboardInterrupt), ('renamed', ExportError)],
)
def test_error_during_export_leaves_nothing(
    trained, tmp_path, monkeypatch, where, error
):
    def fail(*args, **kwargs):
        raise error

    if where == 'labelled':
        monkeypatch.setattr(saved_model, 'write_labels', fail)
    elif where == 'renamed':
        monkeypatch.setattr(os, 'rename', fail)
    changed = {'model_fn': fail} if where == 'built' else {}
    with pytest.raises(error):
        trained.export(tmp_path, **changed)
    assert os.listdir(tmp_path) == []


def test_full_disk_is_a_run_error(trained, tmp_path, monkeypatch):
    def fail(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(saved_model, 'write_labels', fail)
    with pytest.raises(RunError, match='`export_dir=.*`: No space left on device'):
        trained.export(tmp_path)
    assert os.listdir(tmp_path) == []


def test_invalid_directory_is_a_run_error(trained, tmp_path):
    (tmp_path / 'file').write_text('')
    for directory in ('file', 'file/below'):
        with pytest.raises(RunError, match='`export_dir=.*`'):
            trained.export(tmp_path / directory)


def test_checkpoint_of_another_network_is_refused(trained, tmp_path):
    other = make_model_fn(ModelSpec('mlp', {'hidden': (4,)}, num_classes=3))
    with pytest.raises(RunError, match='cannot be restored.*another network'):
        trained.export(tmp_path, model_fn=other)
    assert os.listdir(tmp_path) == []


KILLED = """
    import os, signal, sys
    from estimator_clf.compat import estimator
    import tensorflow as tf
    from estimator_clf.export import saved_model
    from input.dataset_info import DatasetInfo
    from model_fns import make_model_fn

    v1 = tf.compat.v1
    info = DatasetInfo('csv', (), (2,), {}, (0.0,), (1.0,))
    model_fn = make_model_fn('linear_regression')
    with tf.Graph().as_default(), v1.Session() as session:
        step = v1.train.create_global_step()
        model_fn({'x': tf.zeros([1, 2])}, None, mode='infer')
        session.run(v1.global_variables_initializer())
        checkpoint = v1.train.Saver().save(session, sys.argv[1] + '/model')
    kill = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
    saved_model.serving_warmup.write = kill
    saved_model.export_saved_model(model_fn, info, checkpoint, sys.argv[2])
"""


@pytest.mark.extended
def test_kill_during_export_leaves_no_version(trained, tmp_path):
    done = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(KILLED), tmp_path, tmp_path / 'e'],
        cwd=ROOT,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    (left,) = os.listdir(tmp_path / 'e')
    assert left.startswith(PARTIAL)
    assert list_versions(str(tmp_path / 'e')) == []
    # The next export removes the partial one.
    path = trained.export(tmp_path / 'e')
    assert os.listdir(tmp_path / 'e') == [os.path.basename(path)]
    assert list_versions(str(tmp_path / 'e')) == [path]


@pytest.mark.extended
def test_regression(tmp_path):
    info = DatasetInfo('csv', (), (2,), {'train': 4}, (0.0,), (1.0,))
    model_fn = make_model_fn('linear_regression')
    model = estimator.Estimator(model_fn, str(tmp_path / 'model'))
    x = np.array([[0, 1], [1, 0], [2, 2], [3, 1]], np.float32)
    y = np.array([1, 2, 3, 4], np.float32)

    def input_fn():
        return tf.data.Dataset.from_tensors(({'x': x}, y)).repeat(5)

    model.train(input_fn)
    path = export_saved_model(
        model_fn, info, model.latest_checkpoint(), str(tmp_path / 'export')
    )
    loaded = tf.saved_model.load(path)
    assert set(loaded.signatures) == {'serving_default', 'examples', 'regress'}
    out = loaded.signatures['serving_default'](x=tf.constant(x[:3]))
    wanted = [p['y'] for p in model.predict(input_fn)][:3]
    np.testing.assert_allclose(out['y'], wanted, rtol=1e-6)
    examples = []
    for row in x[:3]:
        numbers = tf.train.Feature(float_list=tf.train.FloatList(value=row))
        features = tf.train.Features(feature={'x': numbers})
        examples.append(tf.train.Example(features=features).SerializeToString())
    out = loaded.signatures['examples'](examples=tf.constant(examples))
    np.testing.assert_allclose(out['y'], wanted, rtol=1e-6)
    out = loaded.signatures['regress'](inputs=tf.constant(examples))
    np.testing.assert_allclose(out['outputs'], wanted, rtol=1e-6)
    parity_check.check(path)
    assert 'labels.txt' not in os.listdir(os.path.join(path, 'assets.extra'))
