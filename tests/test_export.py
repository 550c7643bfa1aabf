"""A SavedModel that appears all at once and says what the checkpoint says."""

import functools
import io
import os
import pathlib
import re
import signal
import subprocess
import sys
import textwrap

from estimator_clf.compat import estimator

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from small_run import NAMES, linear_model_fn, source

from estimator_clf import export
from estimator_clf.errors import RunError
from estimator_clf.export import export_saved_model, versions
from input import decode
from input.dataset_info import DatasetInfo
from model_fns import make_model_fn

v1 = tf.compat.v1
ROOT = pathlib.Path(__file__).resolve().parent.parent


class Trained:
    """A trained classifier and what it takes to export it."""

    def __init__(self, folder):
        self.data = source()
        self.info = self.data.info
        self.model_fn = linear_model_fn(self.info)
        self.model = estimator.Estimator(self.model_fn, str(folder))
        self.model.train(self.data.input_fn('train', 9, training=True), max_steps=3)
        self.checkpoint = tf.train.latest_checkpoint(str(folder))
        self.decode = functools.partial(decode.decode, size=(8, 8), channels=1)

    def export(self, folder, **changed):
        facts = {
            'model_fn': self.model_fn,
            'info': self.info,
            'checkpoint': self.checkpoint,
            'export_dir': str(folder),
            'decode': self.decode,
        }
        return export_saved_model(**{**facts, **changed})


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    return Trained(tmp_path_factory.mktemp('model'))


@pytest.fixture(scope='module')
def exported(trained, tmp_path_factory):
    return trained.export(tmp_path_factory.mktemp('export'))


@pytest.fixture(scope='module')
def expected(trained):
    """(encoded pictures, predictions) of the checkpoint itself, through Estimator."""
    predictions = {
        p['key'].decode(): p
        for p in trained.model.predict(trained.data.input_fn('test', 7))
    }
    examples = list(trained.data.encoded('test'))
    return [d for _, d, _ in examples], [predictions[key] for key, _, _ in examples]


def check_outputs(outputs, expected):
    assert set(outputs) == {
        'classes',
        'scores',
        'class_index',
        'probabilities',
        'logits',
    }
    for name, values in outputs.items():
        values = np.asarray(values)
        wanted = np.array([p[name] for p in expected])
        if values.dtype.kind == 'f':
            np.testing.assert_allclose(values, wanted, rtol=1e-5, atol=1e-6)
        else:
            assert (values == wanted).all(), name


def test_both_signatures_in_tensorflow_2(exported, expected):
    pictures, predictions = expected
    loaded = tf.saved_model.load(exported)
    assert set(loaded.signatures) == {'serving_default', 'tensor'}
    by_bytes = loaded.signatures['serving_default'](image_bytes=tf.constant(pictures))
    check_outputs({k: v.numpy() for k, v in by_bytes.items()}, predictions)
    pixels = np.stack([decode_png(p) for p in pictures])
    by_pixels = loaded.signatures['tensor'](image=tf.constant(pixels))
    check_outputs({k: v.numpy() for k, v in by_pixels.items()}, predictions)


def test_both_signatures_in_the_loader_of_serving(exported, expected):
    pictures, predictions = expected
    pixels = np.stack([decode_png(p) for p in pictures])
    with tf.Graph().as_default(), v1.Session() as session:
        meta = v1.saved_model.load(session, ['serve'], exported)
        for name, key, value in (
            ('serving_default', 'image_bytes', pictures),
            ('tensor', 'image', pixels),
        ):
            signature = meta.signature_def[name]
            assert list(signature.inputs) == [key]
            assert signature.method_name == 'tensorflow/serving/predict'
            assert signature.inputs[key].tensor_shape.dim[0].size == -1
            outputs = {k: t.name for k, t in signature.outputs.items()}
            # No text may end so: REST would encode it in base 64.
            assert not [k for k in outputs if k.endswith('_bytes')]
            got = session.run(outputs, {signature.inputs[key].name: value})
            check_outputs(got, predictions)


def decode_png(data):
    return np.asarray(Image.open(io.BytesIO(data)))[..., None]


def test_any_number_of_pictures(exported, expected):
    loaded = tf.saved_model.load(exported).signatures['serving_default']
    for count in (0, 1, 2, 11):
        out = loaded(image_bytes=tf.constant(expected[0][:count], tf.string, [count]))
        assert out['classes'].shape == (count, 3)
        assert out['probabilities'].shape == (count, 3)


def encode(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_pictures_of_every_kind_and_size(trained, exported):
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (31, 47, 3)).astype(np.uint8))
    grey = noise.convert('L')
    frames = [grey.resize((20, 10)), grey.resize((20, 10)).rotate(180)]
    pictures = {
        'jpeg': encode(noise, 'JPEG'),
        'grey jpeg': encode(grey, 'JPEG'),
        'cmyk jpeg': encode(noise.convert('CMYK'), 'JPEG'),
        'png': encode(noise.resize((200, 100)), 'PNG'),
        'grey png': encode(grey.resize((8, 8)), 'PNG'),
        'alpha png': encode(noise.convert('RGBA'), 'PNG'),
        'grey alpha png': encode(grey.convert('LA'), 'PNG'),
        'palette png': encode(noise.convert('P'), 'PNG'),
        '16 bit png': encode(
            Image.fromarray(rng.integers(0, 65536, (9, 9)).astype(np.uint16)), 'PNG'
        ),
        'one pixel': encode(noise.resize((1, 1)), 'PNG'),
        'gif': encode(grey, 'GIF'),
        'animated gif': encode(
            frames[0], 'GIF', save_all=True, append_images=frames[1:]
        ),
        'bmp': encode(noise, 'BMP'),
        'grey bmp': encode(grey, 'BMP'),
    }
    signatures = tf.saved_model.load(exported).signatures
    out = signatures['serving_default'](image_bytes=tf.constant([*pictures.values()]))
    # As decoded one by one with the very function that training reads with.
    pixels = np.stack([trained.decode(tf.constant(p)) for p in pictures.values()])
    assert pixels.shape == (len(pictures), 8, 8, 1)
    wanted = signatures['tensor'](image=tf.constant(pixels))
    np.testing.assert_allclose(out['logits'], wanted['logits'], rtol=1e-5, atol=1e-6)
    assert np.isfinite(out['logits']).all()
    assert len(np.unique(out['logits'].numpy().round(6), axis=0)) > len(pictures) // 2


def test_what_is_no_picture_is_an_error_and_not_a_class(exported, expected):
    signature = tf.saved_model.load(exported).signatures['serving_default']
    for bad in (b'', b'text', expected[0][0][:40]):
        with pytest.raises(tf.errors.InvalidArgumentError):
            signature(image_bytes=tf.constant([expected[0][0], bad]))


def test_labels_travel(exported):
    labels = pathlib.Path(exported, 'assets.extra', 'labels.txt').read_text()
    assert labels.splitlines() == list(NAMES)
    graph = pathlib.Path(exported, 'saved_model.pb').read_bytes()
    assert all(name.encode() in graph for name in NAMES)
    assert b'/tmp/' not in graph and str(ROOT).encode() not in graph


def test_versions_increase_within_one_second(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(export.time, 'time', lambda: 1700000000.9)
    paths = [trained.export(tmp_path) for _ in range(3)]
    names = [os.path.basename(path) for path in paths]
    assert names == ['1700000000', '1700000001', '1700000002']
    assert versions(str(tmp_path)) == paths
    # Nor is the clock trusted when it was set back.
    monkeypatch.setattr(export.time, 'time', lambda: 5.0)
    assert trained.export(tmp_path).endswith('/1700000003')


def test_versions_are_whole_exports_in_order_of_number(exported, tmp_path):
    for name in ('9', '10'):
        os.symlink(exported, tmp_path / name)
    for name in ('11', 'partial-12', '²', 'notes'):
        (tmp_path / name).mkdir()
    (tmp_path / '13').write_text('a file')
    assert versions(str(tmp_path)) == [str(tmp_path / '9'), str(tmp_path / '10')]
    assert versions(str(tmp_path / 'none')) == []


def test_a_number_that_is_taken_is_not_taken_again(trained, tmp_path):
    (tmp_path / '99999999999').mkdir()
    assert trained.export(tmp_path).endswith('/100000000000')


class Broken(Exception):
    pass


@pytest.mark.parametrize(
    'where, error',
    [('built', Broken), ('labelled', KeyboardInterrupt), ('renamed', Broken)],
)
def test_an_error_in_the_middle_leaves_nothing(
    trained, tmp_path, monkeypatch, where, error
):
    def fail(*args, **kwargs):
        raise error

    if where == 'labelled':
        monkeypatch.setattr(export, '_write_labels', fail)
    elif where == 'renamed':
        monkeypatch.setattr(os, 'rename', fail)
    changed = {'model_fn': fail} if where == 'built' else {}
    with pytest.raises(error):
        trained.export(tmp_path, **changed)
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_an_error_in_words(trained, tmp_path, monkeypatch):
    def fail(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(export, '_write_labels', fail)
    with pytest.raises(RunError, match='--export_dir=.*: No space left on device'):
        trained.export(tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be(trained, tmp_path):
    (tmp_path / 'file').write_text('')
    for folder in ('file', 'file/below'):
        with pytest.raises(RunError, match='--export_dir='):
            trained.export(tmp_path / folder)


def test_a_checkpoint_of_another_network(trained, tmp_path):
    other = make_model_fn('mlp', num_classes=3, network_args={'hidden': (4,)})
    with pytest.raises(RunError, match='cannot be restored.*another network'):
        trained.export(tmp_path, model_fn=other)
    assert os.listdir(tmp_path) == []


KILLED = """
    import os, signal, sys
    from estimator_clf.compat import estimator
    import tensorflow as tf
    from estimator_clf import export
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
    export._write_labels = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
    export.export_saved_model(model_fn, info, checkpoint, sys.argv[2])
"""


def test_a_kill_in_the_middle_leaves_no_version(trained, tmp_path):
    done = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(KILLED), tmp_path, tmp_path / 'e'],
        cwd=ROOT,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    (left,) = os.listdir(tmp_path / 'e')
    assert re.fullmatch(r'partial-\d+-\d+', left)
    assert versions(str(tmp_path / 'e')) == []
    # The next export takes the rest away.
    path = trained.export(tmp_path / 'e')
    assert os.listdir(tmp_path / 'e') == [os.path.basename(path)]
    assert versions(str(tmp_path / 'e')) == [path]


def test_an_export_under_way_elsewhere_is_left_alone(trained, tmp_path):
    under_way = tmp_path / f'partial-5-{os.getppid()}'
    under_way.mkdir()
    (tmp_path / 'partial-notes').mkdir()  # Somebody's own.
    trained.export(tmp_path)
    assert under_way.exists() and (tmp_path / 'partial-notes').exists()


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
    assert set(loaded.signatures) == {'serving_default'}
    out = loaded.signatures['serving_default'](x=tf.constant(x[:3]))
    wanted = [p['y'] for p in model.predict(input_fn)][:3]
    np.testing.assert_allclose(out['y'], wanted, rtol=1e-6)
    assert not os.path.exists(os.path.join(path, 'assets.extra'))
