"""Runs in phases: what they leave, and that a kill at any point changes nothing."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.config import config_json
from estimator_clf.config.config import make_config
from estimator_clf.core.errors import ConfigError
from estimator_clf.training import feature_cache
from estimator_clf.training.trainer import train_and_evaluate
from estimator_clf.training.transfer import checkpoints
from input.formats.arrays import from_arrays
from tests.helpers.launching import lines
from tests.helpers.small_run import NAMES, Recorder, make_images, timeless, weights


def source(train=60, validation=0):
    arrays = {'train': make_images(train), 'test': make_images(20, seed=1)}
    if validation:
        arrays['validation'] = make_images(validation, seed=2)
    return from_arrays(arrays, NAMES, name='small')


def run(model_dir, callback=None, data=None, **settings):
    settings = {'network': 'mlp(hidden=6)', 'transfer': True, **settings}
    settings = {'export': False, 'eval_plots': False, **settings}
    config = make_config(dataset='arrays', model_dir=str(model_dir), **settings)
    callbacks = [callback] if callback else []
    return train_and_evaluate(config, callbacks, source=data or source())


def tuned(model_dir, callback=None, **settings):
    """A run with fine-tuning, which a high rate makes better and then worse."""
    settings = {'epochs': 3, 'augment': '', **settings}
    return run(model_dir, callback, source(60, 120), **settings)


def state(directory):
    """What must be equal after a kill."""
    checkpoint = tf.train.latest_checkpoint(str(directory))
    return (
        os.path.basename(checkpoint),
        weights(checkpoint),
        timeless(lines(directory / 'metrics.jsonl')),
        (directory / 'transfer.json').read_text(),
    )


def test_without_validation_split_the_classifier_alone_is_trained(tmp_path):
    recorder = Recorder()
    results = run(tmp_path, recorder)
    assert results.step == 0 and recorder.steps == []
    assert results.metrics['test']['accuracy'] > 0.8
    phases = json.loads((tmp_path / 'transfer.json').read_text())
    assert list(phases) == ['features', 'classifier']
    assert phases['features'] == {
        'examples': {'train': 60},
        'variants': 2,
        'numbers': 6,
    }
    written = json.loads((tmp_path / config_json.FILE_NAME).read_text())
    assert written['phases'] == phases
    assert written['settings']['fine_tune'] == 'none'
    assert written['settings']['batch_size'] == 32
    text = '\n'.join(recorder.messages)
    assert 'transfer 1/3' in text and '5-fold cross-validation' in text
    assert '`batch_size=32`' in text and 'steps in all' not in text


def test_classifier_of_the_checkpoint_is_the_fit(tmp_path):
    run(tmp_path, classifier_l2=0.01)
    checkpoint = tf.train.latest_checkpoint(str(tmp_path))
    kernel = tf.train.load_variable(checkpoint, 'mlp/logits/kernel')
    [directory] = (tmp_path / 'features').glob('train-*')
    x, labels = (np.load(directory / f'{n}.npy') for n in ('features', 'labels'))
    from sklearn.linear_model import LogisticRegression

    x, labels = x.reshape(-1, 6).astype(np.float64), np.tile(labels, 2)
    scale = np.sqrt(x.var(0).mean())
    peer = LogisticRegression(C=1 / (0.01 * len(x)), tol=1e-10, max_iter=10000)
    peer.fit((x - x.mean(0)) / scale, labels)
    np.testing.assert_allclose(kernel, peer.coef_.T / scale, atol=1e-4)


@pytest.mark.extended
def test_fine_tuning_that_is_better_is_the_latest_checkpoint(tmp_path):
    results = tuned(tmp_path, learning_rate=0.02, early_stopping='0')
    phases = json.loads((tmp_path / 'transfer.json').read_text())
    facts = phases['fine_tuning']
    assert facts['kept_step'] > 0 and results.step == facts['final_step']
    before, after = facts['metrics']['loss']
    assert after < before
    assert results.metrics['validation']['loss'] == pytest.approx(after)


@pytest.mark.extended
def test_fine_tuning_that_is_worse_leaves_the_frozen_weights(tmp_path):
    results = tuned(tmp_path, learning_rate=30.0, optimizer='sgd', schedule='constant')
    facts = json.loads((tmp_path / 'transfer.json').read_text())['fine_tuning']
    assert facts['kept_step'] == 0 and results.step == facts['final_step']
    final = weights(tf.train.latest_checkpoint(str(tmp_path)))
    frozen = weights(tf.train.latest_checkpoint(str(tmp_path / 'frozen' / '0')))
    del final['global_step'], frozen['global_step']
    assert final == frozen
    lines_of = [
        x for x in lines(tmp_path / 'metrics.jsonl') if x['split'] == 'validation'
    ]
    assert lines_of[0]['loss'] == lines_of[-1]['loss']
    assert results.metrics['validation']['loss'] == lines_of[0]['loss']


@pytest.mark.extended
def test_fine_tuning_that_diverges_leaves_the_frozen_weights(tmp_path):
    recorder = Recorder()
    tuned(tmp_path, recorder, learning_rate=1e38, optimizer='sgd', warmup='0')
    facts = json.loads((tmp_path / 'transfer.json').read_text())['fine_tuning']
    assert facts['kept_step'] == 0
    assert 'stopped, because' in '\n'.join(recorder.messages)


def kill_in(monkeypatch, phase):
    """Returns a callback for the phase, after it has arranged for a kill there."""

    def killed(*args, **kwargs):
        raise Recorder.Killed

    class KillAt(Recorder):
        def on_message(self, text):
            super().on_message(text)
            if text.startswith('transfer 2/3') and phase == 'classifier':
                raise self.Killed

    if phase == 'features':
        monkeypatch.setattr(feature_cache, '_save', killed)
    elif phase == 'initial checkpoint':
        monkeypatch.setattr(checkpoints, 'write_initial', killed)
    elif phase == 'choice':
        monkeypatch.setattr(checkpoints, 'copy_as_step', killed)
    if phase == 'evaluation':
        return Recorder(kill_in_evaluation=0)
    return KillAt(kill_after=3 if phase == 'fine-tuning' else None)


@pytest.mark.extended
@pytest.mark.parametrize(
    'phase',
    [
        'features',
        'classifier',
        'initial checkpoint',
        'evaluation',
        'fine-tuning',
        'choice',
    ],
)
def test_killed_in_a_phase_and_started_again_is_the_same_run(
    tmp_path, monkeypatch, phase
):
    settings = {'learning_rate': 30.0, 'optimizer': 'sgd', 'schedule': 'constant'}
    tuned(tmp_path / 'whole', **settings)
    with monkeypatch.context() as patched:
        callback = kill_in(patched, phase)
        with pytest.raises(Recorder.Killed):
            tuned(tmp_path / 'killed', callback, **settings)
    tuned(tmp_path / 'killed', **settings)
    assert state(tmp_path / 'killed') == state(tmp_path / 'whole')


@pytest.mark.extended
def test_a_complete_run_started_again_does_nothing(tmp_path):
    tuned(tmp_path)
    before = state(tmp_path)
    recorder = Recorder()
    tuned(tmp_path, recorder)
    assert state(tmp_path) == before
    assert recorder.steps == [] and recorder.evaluations == []


def test_fine_tuning_without_validation_split_is_refused(tmp_path):
    with pytest.raises(ConfigError, match='`fine_tune=all` requires a validation'):
        run(tmp_path, fine_tune='all')
    assert not os.path.exists(tmp_path / 'config.json')


def test_network_without_a_frozen_part_is_refused(tmp_path):
    from estimator_clf.core.errors import SettingError

    with pytest.raises(SettingError, match='first layers are frozen'):
        run(tmp_path, network='linear')


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'loss': 'squared_error'}, 'requires `loss=cross_entropy`'),
        ({'cache_features': True}, 'omit `cache_features`'),
        ({'transfer': False, 'fine_tune': 'none'}, 'requires `transfer`'),
        ({'network': 'linear_regression', 'dataset': 'csv'}, 'for images'),
        ({'fine_tune': 'conv('}, 'fine_tune'),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    from estimator_clf.core.errors import UserError

    with pytest.raises(UserError, match=message):
        make_config(**{'transfer': True, **settings})
