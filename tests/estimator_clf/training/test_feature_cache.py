"""`--cache_features`: what the frozen part makes of each image, computed once."""

import errno
import functools
import json
import os
import signal

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.config.config import make_config
from estimator_clf.core.errors import ConfigError, RunError, SettingError
from estimator_clf.training import models
from estimator_clf.training.trainer import train_and_evaluate
from input import DataError
from input.formats.arrays import from_arrays
from tests.helpers.images import class_directories
from tests.helpers.launching import launch, lines
from tests.helpers.small_run import NAMES, Recorder, make_images, timeless, weights

CNN = 'cnn(filters=(4, 6), kernel=3, hidden=8, dropout=0.5, batch_norm=true)'


@functools.cache
def source():
    arrays = {'train': make_images(45), 'test': make_images(20, seed=1)}
    return from_arrays(arrays, NAMES, name='small')


def run(model_dir, callback=None, data=None, **settings):
    """Trains only the logits of a network; returns its `Results`."""
    settings = {
        'network': CNN,
        'train_only': 'logits',
        'batch_size': 9,
        'max_steps': 14,
        'save_every': '3',
        'eval_every': '5',
        'learning_rate': 0.01,
        'record_keys': True,
        'export': False,
        **settings,
    }
    config = make_config(dataset='arrays', model_dir=str(model_dir), **settings)
    callbacks = [callback] if callback else []
    return train_and_evaluate(config, callbacks, source=data or source())


def last(directory):
    return weights(tf.train.latest_checkpoint(str(directory)))


def close(a, b, rtol):
    """The variables of two runs are the same, within rounding."""
    a, b = (
        tf.train.load_checkpoint(tf.train.latest_checkpoint(str(x))) for x in (a, b)
    )
    names = a.get_variable_to_shape_map()
    assert set(names) == set(b.get_variable_to_shape_map())
    for name in names:
        x, y = a.get_tensor(name), b.get_tensor(name)
        np.testing.assert_allclose(x, y, rtol, 1e-6, err_msg=name)


@pytest.mark.extended
@pytest.mark.parametrize(
    'settings',
    [
        {},
        {'augment': 'flip', 'ema_decay': 0.9},
        {'gradient_accumulation_steps': 3, 'sampling': 'balanced'},
        {'precision': 'bfloat16'},
        pytest.param({'train_only': 'dense1,logits'}, marks=pytest.mark.slow),
    ],
    ids=lambda settings: ','.join(settings) or 'plain',
)
def test_trains_as_without(tmp_path, settings):
    plain = run(tmp_path / 'plain', **settings)
    cached = run(tmp_path / 'cached', cache_features=True, **settings)
    # In bfloat16 the last bit of a weight may fall to either side at each step.
    close(
        tmp_path / 'plain',
        tmp_path / 'cached',
        5e-2 if 'precision' in settings else 1e-4,
    )
    keys = [lines(tmp_path / x / 'keys.jsonl') for x in ('plain', 'cached')]
    assert keys[0] == keys[1]
    for name, value in plain.metrics['test'].items():
        np.testing.assert_allclose(
            cached.metrics['test'][name], value, 1e-4 if len(settings) != 1 else 2e-2
        )
    directories = sorted(os.listdir(tmp_path / 'cached' / 'features'))
    assert [x.partition('-')[0] for x in directories] == ['test', 'train']
    features = np.load(
        tmp_path / 'cached' / 'features' / directories[1] / 'features.npy'
    )
    assert features.shape[:2] == (2 if 'augment' in settings else 1, 45)


@pytest.mark.extended
@pytest.mark.parametrize('precision', ['float32', 'bfloat16'])
def test_evaluates_to_the_bit_what_the_images_give(tmp_path, precision):
    settings = {'cache_features': True, 'eval_precision': precision}
    cached = run(tmp_path / 'run', **settings)
    plain = run(tmp_path / 'run', Recorder(), **settings)
    assert plain.metrics == cached.metrics
    # By the images: another evaluation of the same checkpoint.
    from estimator_clf.evaluation.evaluator import Evaluator

    config = make_config(
        network=CNN,
        train_only='logits',
        eval_precision=precision,
        model_dir='x',
    )
    model_fn = models.build_model_fn(config, source().info, 1)
    evaluator = Evaluator(model_fn, source().input_fn('test', 9))
    checkpoint = tf.train.latest_checkpoint(str(tmp_path / 'run'))
    assert evaluator.evaluate(checkpoint) == cached.metrics['test']


@pytest.mark.extended
def test_killed_and_started_again_is_the_same_run(tmp_path):
    run(tmp_path / 'whole', cache_features=True, augment='flip')
    with pytest.raises(Recorder.Killed):
        run(tmp_path / 'killed', Recorder(7), cache_features=True, augment='flip')
    directory = tmp_path / 'killed' / 'features'
    before = {x: os.stat(directory / x).st_mtime_ns for x in os.listdir(directory)}
    # What a kill in the middle of computing leaves is swept away.
    (directory / '.partial-x').mkdir()
    observer = Recorder()
    run(tmp_path / 'killed', observer, cache_features=True, augment='flip')
    assert not [x for x in observer.messages if '`cache_features`: train' in x]
    assert last(tmp_path / 'killed') == last(tmp_path / 'whole')
    a, b = (
        timeless(lines(tmp_path / x / 'metrics.jsonl')) for x in ('killed', 'whole')
    )
    assert a == b
    after = {x: os.stat(directory / x).st_mtime_ns for x in os.listdir(directory)}
    assert {x: after.get(x) for x in before} == {
        x: t for x, t in before.items() if not x.startswith('.')
    }


@pytest.mark.extended
def test_other_weights_have_other_features(tmp_path):
    run(tmp_path / 'source', train_only='', max_steps=5)
    start = {'warm_start': str(tmp_path / 'source'), 'warm_start_exclude': 'logits'}
    run(tmp_path / 'plain', **start)
    run(tmp_path / 'cached', cache_features=True, **start)
    close(tmp_path / 'plain', tmp_path / 'cached', 1e-4)
    run(tmp_path / 'fresh', cache_features=True)
    names = [os.listdir(tmp_path / x / 'features') for x in ('cached', 'fresh')]
    assert not set(names[0]) & set(names[1])
    report = json.loads((tmp_path / 'cached' / 'warm_start.json').read_text())
    assert report['counts']['restored'] > 4


@pytest.mark.extended
def test_corrected_labels_have_features_of_their_own(tmp_path):
    (x, y), test = make_images(45), make_images(20, seed=1)
    with pytest.raises(Recorder.Killed):
        run(tmp_path / 'run', Recorder(kill_after=4), cache_features=True)
    y = y.copy()
    y[0] = (y[0] + 1) % 3
    data = from_arrays({'train': (x, y), 'test': test}, NAMES, name='small')
    with pytest.raises(ConfigError, match='the same images, but in other classes'):
        run(tmp_path / 'run', data=data, cache_features=True)
    # With the same features, as in a directory that an earlier version has left.
    (tmp_path / 'run' / 'features').rename(tmp_path / 'features')
    (tmp_path / 'new').mkdir()
    (tmp_path / 'features').rename(tmp_path / 'new' / 'features')
    run(tmp_path / 'new', data=data, cache_features=True)
    features = tmp_path / 'new' / 'features'
    directories = sorted(features.glob('train-*'), key=os.path.getmtime)
    assert len(directories) == 2
    np.testing.assert_array_equal(np.load(directories[1] / 'labels.npy'), y)


@pytest.mark.extended
def test_exports_the_whole_network(tmp_path):
    results = run(tmp_path, cache_features=True, export=True, max_steps=3)
    served = tf.saved_model.load(results.export_path).signatures['tensor']
    images, _ = make_images(20, seed=1)
    found = served(image=tf.constant(images))['probabilities'].numpy()
    assert found.shape == (20, 3) and len(np.unique(found[:, 0])) > 10


@pytest.mark.combinations
@pytest.mark.parametrize(
    'settings, error, words',
    [
        ({'augment': 'crop(1)'}, DataError, 'only flip can be cached'),
        ({'train_only': ''}, SettingError, 'needs a network whose first layers'),
        ({'train_only': 'conv1'}, SettingError, 'needs a network whose first layers'),
        (
            {
                'network': 'resnet_cifar(depth=8, filters=4)',
                'train_only': 'stage3,logits',
            },
            SettingError,
            'something else comes from the images, such as a shortcut',
        ),
    ],
)
def test_what_cannot_be(tmp_path, settings, error, words):
    with pytest.raises(error, match=words):
        run(tmp_path, cache_features=True, **settings)


@pytest.mark.extended
def test_images_that_cannot_be_read_have_no_features(tmp_path):
    class_directories(tmp_path / 'in', {'ant': 8, 'bee': 8})
    (broken,) = (tmp_path / 'in' / 'ant').glob('*3.png')
    broken.write_bytes(broken.read_bytes()[:-30])
    done = launch(
        'train',
        '--dataset=image_folder',
        f'--data_dir={tmp_path}/in',
        f'--model_dir={tmp_path}/run',
        f'--network={CNN}',
        '--train_only=logits',
        '--cache_features',
        '--augment=flip',
        '--max_corrupt_images=1',
        '--batch_size=5',
        '--max_steps=4',
        '--noexport',
    )
    assert done.returncode == 0, done.stderr
    (directory,) = (tmp_path / 'run' / 'features').iterdir()
    names = {'facts.json', 'features.npy', 'labels.npy', 'keys.npy', 'index.npy'}
    assert set(os.listdir(directory)) == names
    features, keys = (np.load(directory / f'{x}.npy') for x in ('features', 'keys'))
    assert features.shape[:2] == (2, 15) == (2, len(keys))
    assert features.any(axis=-1).all()
    assert sum(b'ant' in key for key in keys) == 7


def test_a_full_disk_is_said_in_words(tmp_path, monkeypatch):
    def full(handle, start, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'posix_fallocate', full)
    with pytest.raises(RunError, match='[Nn]o space left'):
        run(tmp_path, cache_features=True)


def test_nothing_is_computed_for_a_run_that_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="'acuracy'; did you mean 'accuracy'"):
        run(tmp_path, cache_features=True, best_metric='acuracy')
    assert not (tmp_path / 'features').exists()
    run(tmp_path, network='linear', train_only='', max_steps=1)
    with pytest.raises(ConfigError, match='belongs to a run of other settings'):
        run(tmp_path, cache_features=True)
    assert not (tmp_path / 'features').exists()


@pytest.mark.extended
def test_a_signal_ends_the_computing(tmp_path):
    class Interrupted(Recorder):
        def on_message(self, text):
            super().on_message(text)
            if 'computing the features of train' in text:
                signal.raise_signal(signal.SIGTERM)

    results = run(tmp_path, Interrupted(), cache_features=True)
    assert (results.step, results.stopped) == (0, 'SIGTERM')
    assert not os.listdir(tmp_path / 'features')
    assert run(tmp_path, cache_features=True).step == 14
