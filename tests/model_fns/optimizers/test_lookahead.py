"""Lookahead: arithmetic, evaluation, resuming, errors."""

import pytest
import tensorflow as tf

from estimator_clf.config.config import make_config
from estimator_clf.config.parsers import parse_lookahead
from estimator_clf.core.errors import ConfigError, SettingError
from model_fns import OptimizerSpec
from model_fns.optimizers.ema import SUFFIX
from tests.helpers import small_run, stepping

v1 = tf.compat.v1

EVERY, DECAY, TOTAL = 2, 0.9, 8


def model(**optimizer):
    settings = {'name': 'sgd', 'lookahead': (EVERY, DECAY), 'total_steps': TOTAL}
    return stepping.model('cnn', {'batch_norm': True}, {**settings, **optimizer})


def lookahead(state):
    return {n.removesuffix(SUFFIX): v for n, v in state.items() if n.endswith(SUFFIX)}


@pytest.mark.extended
def test_both_weights_follow_the_formula():
    states, _ = stepping.train(model(), TOTAL)
    names = set(lookahead(states[0]))
    assert {'cnn/conv1/kernel', 'cnn/norm1/moving_variance'} <= names
    kept = lookahead(states[0])
    for t in range(1, TOTAL + 1):
        # The weights after the step alone.
        before = {n: v for n, v in states[t - 1].items() if not n.endswith(SUFFIX)}
        stepped = stepping.train(model(lookahead=None), 1, start=before)[0][1]
        if t % EVERY:
            stepping.close(states[t], {n: stepped[n] for n in names})
            stepping.same(lookahead(states[t]), kept)
            continue
        share = 1 - DECAY**EVERY * (t / TOTAL) ** 3 if t > EVERY else 1.0
        kept = {n: kept[n] + share * (stepped[n] - kept[n]) for n in names}
        stepping.close(lookahead(states[t]), kept, rtol=1e-4, atol=1e-6)
        kept = lookahead(states[t])
        stepping.same(kept, {n: states[t][n] for n in names})


def test_a_decay_of_0_does_not_change_training():
    changed, _ = stepping.train(model(lookahead=(2, 0.0)), 5)
    plain, _ = stepping.train(model(lookahead=None), 5)
    stepping.close(changed[5], plain[5])


def test_evaluation_reads_the_lookahead_weights():
    model_fn = model()
    with tf.Graph().as_default():
        v1.train.create_global_step()
        features = {'image': tf.constant(stepping.IMAGES)}
        model_fn(features, tf.constant(stepping.LABELS), 'eval')
        read = {v.op.name for v in v1.global_variables()} - {'global_step'}
    assert read and all(name.endswith(SUFFIX) for name in read)


@pytest.mark.extended
def test_a_resumed_run_equals_an_unbroken_run(tmp_path, monkeypatch):
    settings = {'name': 'nesterov', 'learning_rate': 0.1, 'lookahead': (2, 0.9)}
    maker = small_run.small_mlp(settings)
    monkeypatch.setattr(small_run, 'small_model_fn', maker)
    # Resumes from step 3, which is between two synchronizations.
    found = small_run.killed_and_resumed(tmp_path)
    assert f'mlp/logits/kernel{SUFFIX}' in found


def test_invalid_settings_are_refused():
    for settings, words in (
        ({'total_steps': None}, 'how long the run is'),
        ({'ema_decay': 0.9, 'total_steps': 9}, 'give one of them'),
        ({'total_steps': 9, 'lookahead': (0, 0.5)}, 'at least 1'),
        ({'total_steps': 4}, 'no more than the 4 of the run'),
        ({'total_steps': 9, 'lookahead': (5, 1.0)}, 'below 1'),
    ):
        with pytest.raises(SettingError, match=words):
            OptimizerSpec(**{'lookahead': (5, 0.95), **settings})


def test_several_devices_are_refused():
    with pytest.raises(ConfigError, match='for one device'):
        make_config(lookahead='every=5, decay=0.95', replicas=2)


def test_settings_as_text():
    assert parse_lookahead('') is None
    assert parse_lookahead('every=5, decay=0.95') == (5, 0.95)
    for text in ('5', 'every=a, decay=b', 'every=5', 'every=0.95, decay=5'):
        with pytest.raises(ConfigError, match='`lookahead`'):
            parse_lookahead(text)
