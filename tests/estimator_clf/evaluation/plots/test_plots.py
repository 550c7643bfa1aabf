"""Tests of evaluation callbacks against references in NumPy and scikit-learn."""

import io
import pathlib
import re
import types

from estimator_clf.compat import estimator

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from PIL import Image
from sklearn import metrics
from tensorboard.plugins.projector import ProjectorConfig

from estimator_clf.config.config import make_config
from estimator_clf.evaluation.evaluator import Evaluator
from estimator_clf.evaluation.plots import confusion_matrix, pr_curves, worst_mistakes
from estimator_clf.evaluation.plots.factory import make_eval_callbacks
from estimator_clf.evaluation.plots.projector import Projector
from estimator_clf.loggers import drawing, summary_protos
from estimator_clf.loggers.tensorboard_writer import event_writer
from input.sources.base import as_numpy_batches
from tests.helpers.launching import ROOT
from tests.helpers.small_run import NAMES, events, linear_model_fn, source

COUNT = 40


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A partly trained model and its predictions in NumPy."""
    data = source(train=45, test=COUNT)
    model_fn = linear_model_fn(data.info)
    config = estimator.RunConfig(tf_random_seed=1)
    directory = str(tmp_path_factory.mktemp('trained'))
    model = estimator.Estimator(model_fn, directory, config)
    model.train(data.input_fn('train', 9, training=True), max_steps=3)
    ((features, labels),) = as_numpy_batches(data.input_fn('test', COUNT))
    rows = list(model.predict(data.input_fn('test', COUNT)))
    probabilities = np.array([row['probabilities'] for row in rows])
    assert 0.3 < np.mean(probabilities.argmax(1) == labels) < 0.95
    return types.SimpleNamespace(
        model_fn=model_fn,
        data=data,
        checkpoint=model.latest_checkpoint(),
        images=features['image'],
        keys=[key.decode() for key in features['key']],
        labels=np.asarray(labels),
        probabilities=probabilities,
        predicted=probabilities.argmax(1),
    )


def evaluate(trained, directory, make, batch=8, times=1):
    """Evaluates with the callbacks of `make(writer)`; returns dict tag -> value."""
    writer = event_writer(str(directory))
    evaluator = Evaluator(
        trained.model_fn, trained.data.input_fn('test', batch), make(writer)
    )
    for _ in range(times):
        evaluator.evaluate(trained.checkpoint)
    evaluator.close()
    writer.flush()
    found = {}
    for event in events(directory):
        for value in event.summary.value:
            assert event.step == 3
            found[value.tag] = value
    return found


def text_of(value):
    return tf.make_ndarray(value.tensor).item().decode()


def rows_of(markdown):
    """The cells of the rows of a Markdown table, as text."""
    return [
        [cell.strip() for cell in line.strip('|').split('|')]
        for line in markdown.splitlines()[2:]
    ]


@pytest.mark.parametrize('batch', [8, 19, COUNT])
def test_confusion_matrix_and_tables(trained, tmp_path, batch):
    seen = []
    found = evaluate(
        trained,
        tmp_path,
        lambda writer: [confusion_matrix.ConfusionMatrix(writer, NAMES)],
        batch,
        times=2,  # The second one starts at 0.
    )
    truth = metrics.confusion_matrix(trained.labels, trained.predicted)
    p, r, f, n = metrics.precision_recall_fscore_support(
        trained.labels, trained.predicted, zero_division=0
    )
    rows = rows_of(text_of(found['tables/classes']))
    assert [row[0] for row in rows] == list(NAMES)
    for row, *wanted in zip(rows, p, r, f, n, strict=True):
        assert [float(x) for x in row[1:]] == pytest.approx(wanted, abs=1e-4)
    confused = rows_of(text_of(found['tables/confused']))
    for true, predicted, count, examples, share in confused:
        i, j = NAMES.index(true), NAMES.index(predicted)
        assert int(count) == truth[i, j] > 0
        assert int(examples) == truth[i].sum()
        assert float(share) == pytest.approx(truth[i, j] / truth[i].sum(), abs=1e-4)
        seen.append(int(count))
    assert seen == sorted(seen, reverse=True)
    assert sum(seen) == truth.sum() - np.trace(truth)
    image = Image.open(
        io.BytesIO(found['evaluation/confusion_matrix'].image.encoded_image_string)
    )
    assert image.size == confusion_matrix.render_confusion_matrix(truth, NAMES).size


def test_confusion_image_is_blue_on_the_diagonal_and_red_elsewhere():
    counts = np.array([[9, 1], [0, 4]])
    image = np.asarray(
        confusion_matrix.render_confusion_matrix(counts, ['cat', 'dog'])
    ).astype(int)
    red, _, blue = (image[..., k] for k in range(3))
    # The cells: 28 pixels wide, the last one 8 from the edge.
    height, width = red.shape
    corner = {
        (i, j): (height - 8 - 28 * (2 - i) + 4, width - 8 - 28 * (2 - j) + 4)
        for i in range(2)
        for j in range(2)
    }
    assert blue[corner[0, 0]] > red[corner[0, 0]] + 50
    assert blue[corner[1, 1]] > red[corner[1, 1]] + 50
    assert red[corner[0, 1]] > blue[corner[0, 1]] + 30
    assert (image[corner[1, 0]] == 255).all()


@pytest.mark.combinations
@pytest.mark.parametrize('count', [1, 30, 50])
def test_confusion_image_does_not_clip_long_names(count):
    names = [f'a very long name of a class, number {k}' for k in range(count)]
    counts = np.full((count, count), 12345)
    image = confusion_matrix.render_confusion_matrix(counts, names)
    assert image.width < 3200
    edge = np.asarray(image)[:, :3]  # Nothing is clipped at the left.
    assert (edge == 255).all()


def test_many_classes_have_only_a_table_of_pairs(tmp_path):
    writer = event_writer(str(tmp_path))
    names = [f'class {k}' for k in range(60)]
    eval_callback = confusion_matrix.ConfusionMatrix(writer, names)
    curves = pr_curves.PrecisionRecallCurves(writer, names)
    labels = np.arange(60)
    probabilities = np.eye(60, dtype=np.float32)[(labels + (labels == 7)) % 60]
    for callback in (eval_callback, curves):
        callback.on_begin()
        callback.on_batch({'labels': labels, 'probabilities': probabilities})
        callback.on_end(1)
    writer.flush()
    found = {v.tag: v for e in events(tmp_path) for v in e.summary.value}
    assert set(found) == {'tables/confused', 'precision_recall/pr_curves'}
    assert rows_of(text_of(found['tables/confused'])) == [
        ['class 7', 'class 8', '1', '1', '1.0000']
    ]


@pytest.mark.parametrize('batch', [3, 19, COUNT])
def test_worst_mistakes(trained, tmp_path, batch):
    callbacks = []

    def make(writer):
        callbacks.append(worst_mistakes.WorstMistakes(writer, NAMES, count=5))
        return callbacks

    found = evaluate(trained, tmp_path, make, batch, times=2)
    true_probability = trained.probabilities[np.arange(COUNT), trained.labels]
    wrong = np.flatnonzero(trained.predicted != trained.labels)
    worst = wrong[np.argsort(true_probability[wrong], kind='stable')][:5]
    rows = rows_of(text_of(found['tables/mistakes']))
    assert [row[0].replace('\\', '') for row in rows] == [
        trained.keys[k] for k in worst
    ]
    for row, k in zip(rows, worst, strict=True):
        assert (row[1], row[3]) == (
            NAMES[trained.labels[k]],
            NAMES[trained.predicted[k]],
        )
        assert float(row[2]) == pytest.approx(true_probability[k], abs=1e-4)
        assert float(row[4]) == pytest.approx(trained.probabilities[k].max(), abs=1e-4)
    image = Image.open(
        io.BytesIO(found['evaluation/mistakes'].image.encoded_image_string)
    )
    pixels = np.asarray(image.convert('RGB'))
    for number, k in enumerate(worst):
        # 8 pixels are enlarged to 112, next to each other with a gap of 10.
        shown = pixels[10:122:14, 10 + 122 * number : 122 + 122 * number : 14, 0]
        np.testing.assert_array_equal(shown, trained.images[k, ..., 0])


def test_correct_examples_are_no_mistakes(trained, tmp_path):
    eval_callback = [
        worst_mistakes.WorstMistakes(event_writer(str(tmp_path)), NAMES, count=COUNT)
    ]
    found = evaluate(trained, tmp_path, lambda writer: eval_callback)
    keys = [
        row[0].replace('\\', '') for row in rows_of(text_of(found['tables/mistakes']))
    ]
    wrong = np.flatnonzero(trained.predicted != trained.labels)
    assert sorted(keys) == sorted(trained.keys[k] for k in wrong)


def test_only_candidates_are_fetched(trained, tmp_path):
    fetched = []

    class Counting(worst_mistakes.WorstMistakes):
        def on_batch(self, values):
            fetched.append(len(values['image']))
            super().on_batch(values)

    evaluate(
        trained, tmp_path, lambda writer: [Counting(writer, NAMES, count=1)], batch=4
    )
    assert len(fetched) == 10 and max(fetched) == 1 and sum(fetched) < 8


def test_precision_recall_curves(trained, tmp_path):
    found = evaluate(
        trained,
        tmp_path,
        lambda writer: [pr_curves.PrecisionRecallCurves(writer, NAMES)],
        times=2,
    )
    one_hot = np.eye(3, dtype=bool)[trained.labels]
    problems = {'': (one_hot, trained.probabilities)}
    for k, name in enumerate(NAMES):
        problems['/' + name] = (one_hot[:, k], trained.probabilities[:, k])
    assert set(found) == {f'precision_recall{tail}/pr_curves' for tail in problems}
    for tail, (truth, probabilities) in problems.items():
        curve = tf.make_ndarray(found[f'precision_recall{tail}/pr_curves'].tensor)
        assert curve.shape == (6, 101)
        for number in (0, 1, 29, 50, 99, 100):
            over = probabilities.astype(np.float64) * 100 >= number
            tp, fp = (over & truth).sum(), (over & ~truth).sum()
            tn, fn = (~over & ~truth).sum(), (~over & truth).sum()
            precision = tp / max(tp + fp, 1)
            wanted = (tp, fp, tn, fn, precision, tp / (tp + fn))
            assert curve[:, number] == pytest.approx(wanted, abs=1e-6), (tail, number)


@pytest.mark.parametrize('count', [10, 1000])
def test_projector(trained, tmp_path, count):
    found = evaluate(
        trained,
        tmp_path,
        lambda writer: [Projector(tmp_path, 'test', NAMES, count, COUNT)],
        batch=7,
        times=2,
    )
    assert not found
    directory = tmp_path / 'projector' / 'test'
    points = np.loadtxt(directory / 'tensors.tsv', delimiter='\t')
    header, *lines = (directory / 'metadata.tsv').read_text().splitlines()
    assert header.split('\t') == ['class', 'predicted', 'right', 'key']
    wanted = min(count, COUNT)
    assert len(points) == len(lines) and wanted - 1 <= len(points) <= wanted
    sprite = np.asarray(Image.open(directory / 'sprite.png'))
    columns = int(np.ceil(np.sqrt(len(points))))
    places = []
    for number, (point, line) in enumerate(zip(points, lines, strict=True)):
        name, predicted, right, key = line.split('\t')
        k = trained.keys.index(key)
        places.append(k)
        assert name == NAMES[trained.labels[k]]
        assert predicted == NAMES[trained.predicted[k]]
        assert (right == 'right') == (name == predicted)
        # The last layer of a linear network receives the normalized pixels.
        image = trained.images[k].astype(np.float64).ravel()
        info = trained.data.info
        wanted_point = (image - info.mean[0]) / info.stddev[0]
        assert point == pytest.approx(wanted_point, rel=1e-3, abs=1e-3)
        y, x = (number // columns * 32, number % columns * 32)
        np.testing.assert_array_equal(
            sprite[y : y + 32 : 4, x : x + 32 : 4, 0], trained.images[k, ..., 0]
        )
    # Spread over the whole set.
    assert len(set(places)) == len(places)
    assert np.max(np.diff([-1, *places, COUNT])) <= 2 * COUNT / len(places)
    config = ProjectorConfig()
    text_format.Parse((tmp_path / 'projector_config.pbtxt').read_text(), config)
    (entry,) = config.embeddings
    assert list(entry.tensor_shape) == list(points.shape)
    for path in (entry.tensor_path, entry.metadata_path, entry.sprite.image_path):
        assert (tmp_path / path).exists()


def test_callbacks_change_no_metric_and_can_be_disabled(trained, tmp_path):
    plain = Evaluator(trained.model_fn, trained.data.input_fn('test', 8))
    expected = plain.evaluate(trained.checkpoint)
    plain.close()
    config = make_config(model_dir=str(tmp_path / 'run'), projector=5)
    eval_set = types.SimpleNamespace(name='test', num_examples=COUNT)
    made = make_eval_callbacks(config, NAMES, eval_set)
    assert len(made) == 4
    # The directory appears with the first summary.
    assert not (tmp_path / 'run').exists()
    evaluator = Evaluator(trained.model_fn, trained.data.input_fn('test', 8), made)
    assert evaluator.evaluate(trained.checkpoint) == expected
    evaluator.close()
    off = make_config(model_dir=str(tmp_path), eval_plots=False)
    assert make_eval_callbacks(off, NAMES, eval_set) == []
    assert make_eval_callbacks(make_config(), (), eval_set) == []  # A regression.


def test_aborted_evaluation_writes_nothing(trained, tmp_path):
    writer = event_writer(str(tmp_path))
    eval_callback = confusion_matrix.ConfusionMatrix(writer, NAMES)
    evaluator = Evaluator(
        trained.model_fn, trained.data.input_fn('test', 8), [eval_callback]
    )
    assert evaluator.evaluate(trained.checkpoint, stop=True) is None
    evaluator.close()
    writer.flush()
    assert not [v for e in events(tmp_path) for v in e.summary.value]


def test_text_is_shortened_to_a_width():
    path = 'a/long/path/to/some/image.jpg'
    for keep in ('start', 'end'):
        short = drawing.shorten(path, 12, 90, keep)
        assert drawing.text_width(short, 12) <= 90 and len(short) < len(path)
    assert drawing.shorten(path, 12, 90, 'end').endswith('image.jpg')
    assert drawing.shorten('two\nlines', 12, 500) == 'two lines'


def test_markdown_escapes_names():
    table = summary_protos.markdown_table(['a', 'b'], [['x|y_*', 1], ['z', 0.5]])
    assert table.splitlines() == [
        '| a | b |',
        '| --- | ---: |',
        '| x\\|y\\_\\* | 1 |',
        '| z | 0.5000 |',
    ]


def test_the_program_in_the_docs(tmp_path, monkeypatch, capsys):
    text = pathlib.Path(ROOT, 'docs', 'tensorboard.md').read_text(encoding='utf-8')
    (program,) = re.findall(r'^```python\n(.*?)^```', text, re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    exec(compile(program, 'docs/tensorboard.md', 'exec'), {})
    assert "'accuracy': 0." in capsys.readouterr().out
    found = {v.tag for e in events('runs/plots/test') for v in e.summary.value}
    assert {'evaluation/confusion_matrix', 'tables/mistakes'} <= found
