"""Tests of the model card: content, and class names with special characters."""

import json
import pathlib
import re
import shutil

from estimator_clf.compat import estimator  # noqa: F401

import pytest
import tensorflow as tf

from estimator_clf.config import config_json
from estimator_clf.config.config import make_config
from estimator_clf.export import model_card
from estimator_clf.export.signatures import receivers, signature_defs
from input.dataset_info import DatasetInfo
from input.images.batch_decoder import BatchDecoder

v1 = tf.compat.v1

NAMES = ('cats', 'dogs | wolves', 'one\nand two')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    with tf.Graph().as_default(), v1.Session() as session:
        step = v1.train.create_global_step()
        session.run(step.assign(7, read_value=False))
        path = str(tmp_path_factory.mktemp('c') / 'model.ckpt')
        return v1.train.Saver().save(session, path, write_meta_graph=False)


def written(directory, checkpoint, info, config=None):
    with tf.Graph().as_default():
        decode = BatchDecoder((4, 5), 3) if info.class_names else None
        _, inputs = receivers(info, decode)
        outputs = {'y': tf.zeros([3])}
        if info.class_names:
            outputs = {'classes': tf.constant([['a']]), 'scores': tf.zeros([1, 1])}
        signatures = signature_defs(inputs, outputs)
    model_card.write(str(directory), info, signatures, checkpoint, config)
    return (directory / 'MODEL_CARD.md').read_text(encoding='utf-8')


def test_card_of_a_classifier(checkpoint, tmp_path):
    info = DatasetInfo('pets', NAMES, (4, 5, 3), {'train': 1234}, (1.0,), (2.0,))
    run = pathlib.Path(checkpoint).parent
    config = make_config(
        network='linear',
        model_dir=str(run),
        data_dir='/home/user/pets',
        learning_rate=0.25,
        max_image_pixels=4_000_000,
    )
    lines = [
        {'step': 7, 'split': 'train', 'time': 1, 'loss': 77.125},
        {'step': 7, 'split': 'test', 'time': 1, 'accuracy': 0.875, 'loss': None},
        {'step': 6, 'split': 'test', 'time': 1, 'accuracy': 0.125},
    ]
    lines[1] |= {f'recall/{name}': 0.5 for name in NAMES} | {'precision/cats': 0.75}
    lines[1] |= {'examples': 4321, 'examples/cats': 1200}
    (run / 'metrics.jsonl').write_text('\n'.join(map(json.dumps, lines)))
    text = written(tmp_path, checkpoint, info, config)
    assert text.startswith('# pets\n\n`linear` that classifies images into 3 classes')
    for part in (
        'weights of step 7',
        '| examples, train | 1,234 |',
        '| image size | 4 x 5 x 3 |',
        '## Metrics: test',
        '| accuracy | 0.8750 |',
        '| examples | 4,321 |',
        '| class | examples | precision | recall |',
        '| cats | 1,200 | 0.7500 | 0.5000 |',
        '| dogs \\| wolves |  |  | 0.5000 |',
        '| 2 | one and two |',
        '| `classify` | classify | `inputs` string [N] |',
        '| `tensor` | predict | `image` uint8 [N, 4, 5, 3] |',
        '| `learning_rate` | `0.25` |',
        'more than 4,000,000 pixels',
        '| tensorflow | 2.',
    ):
        assert part in text, part
    assert '0.125' not in text and '77.1' not in text
    assert str(run) not in text and '/home/user' not in text
    assert 'The evaluation used' not in text
    # The run has no metrics of a checkpoint outside of its directory.
    other = config.replace(model_dir=str(tmp_path))
    shutil.copy(run / 'metrics.jsonl', tmp_path)
    text = written(tmp_path, checkpoint, info, other)
    assert 'did not evaluate these weights' in text and '0.875' not in text


@pytest.mark.combinations
@pytest.mark.parametrize(
    'settings, now, words',
    [
        (
            {'eval_tta': 'mirror'},
            {},
            'used `eval_tta=mirror`, this model uses a single forward pass',
        ),
        ({'eval_tta': 'mirror', 'export_tta': True}, {}, None),
        (
            {'network': 'fmp'},
            {'eval_samples': 4},
            'used a single forward pass, this model uses `eval_samples=4`',
        ),
    ],
)
def test_difference_between_evaluation_and_export_is_noted(
    checkpoint, tmp_path, settings, now, words
):
    info = DatasetInfo('pets', NAMES, (4, 5, 3), {}, (1.0,), (2.0,))
    run = pathlib.Path(shutil.copytree(pathlib.Path(checkpoint).parent, tmp_path / 'r'))
    config = make_config(**settings, model_dir=str(run))
    (run / 'config.json').write_text(config_json.to_json(config))
    line = {'step': 7, 'split': 'test', 'time': 1, 'accuracy': 0.875}
    (run / 'metrics.jsonl').write_text(json.dumps(line) + '\n')
    path = str(run / pathlib.Path(checkpoint).name)
    text = written(tmp_path, path, info, config.replace(**now))
    assert '| accuracy | 0.8750 |' in text
    found = re.search('The evaluation used.*', text)
    assert re.search(words, found[0]) if words else found is None


def test_card_without_a_run(checkpoint, tmp_path):
    info = DatasetInfo('pets', NAMES, (4, 5, 3), {}, (1.0,), (2.0,))
    text = written(tmp_path, checkpoint, info)
    assert '## Signatures' in text and '## Metrics' not in text
    text = written(tmp_path, checkpoint, info, make_config(model_dir=str(tmp_path)))
    assert 'did not evaluate these weights' in text


def test_card_of_a_regression(checkpoint, tmp_path):
    info = DatasetInfo('numbers', (), (2,), {'train': 9}, (), ())
    text = written(tmp_path, checkpoint, info)
    assert '| `regress` | regress | `inputs` string [N] |' in text
    (line,) = [x for x in text.splitlines() if x.startswith('curl')]
    body = line.split("'")[1]
    assert json.loads(body) == {'instances': [[0.0, 0.0]]}
