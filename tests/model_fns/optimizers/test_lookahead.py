"""Lookahead: arithmetic, who reads the slow weights, resuming, what is refused."""

import pytest
import tensorflow as tf

from estimator_clf.config.config import Config
from estimator_clf.core.errors import ConfigError, SettingError
from model_fns import OptimizerSpec
from model_fns.optimizers.config import parse_lookahead
from model_fns.optimizers.ema import SUFFIX
from tests.helpers import small_run, stepping

v1 = tf.compat.v1

EVERY, DECAY, TOTAL = 2, 0.9, 8


def model(**optimizer):
    settings = {'name': 'sgd', 'lookahead': (EVERY, DECAY), 'total_steps': TOTAL}
    return stepping.model('cnn', {'batch_norm': True}, {**settings, **optimizer})


def slow(state):
    return {n.removesuffix(SUFFIX): v for n, v in state.items() if n.endswith(SUFFIX)}


def test_slow_and_fast_weights_follow_the_formula():
    states, _ = stepping.train(model(), TOTAL)
    names = set(slow(states[0]))
    assert {'cnn/conv1/kernel', 'cnn/norm1/moving_variance'} <= names
    kept = slow(states[0])
    for t in range(1, TOTAL + 1):
        # Where the fast weights were taken by the step alone.
        before = {n: v for n, v in states[t - 1].items() if not n.endswith(SUFFIX)}
        stepped = stepping.train(model(lookahead=None), 1, start=before)[0][1]
        if t % EVERY:
            stepping.close(states[t], {n: stepped[n] for n in names})
            stepping.same(slow(states[t]), kept)
            continue
        share = 1 - DECAY**EVERY * (t / TOTAL) ** 3 if t > EVERY else 1.0
        kept = {n: kept[n] + share * (stepped[n] - kept[n]) for n in names}
        stepping.close(slow(states[t]), kept, rtol=1e-4, atol=1e-6)
        kept = slow(states[t])
        stepping.same(kept, {n: states[t][n] for n in names})


def test_without_a_share_for_the_slow_weights_training_is_what_it_was():
    with_it, _ = stepping.train(model(lookahead=(2, 0.0)), 5)
    without, _ = stepping.train(model(lookahead=None), 5)
    stepping.close(with_it[5], without[5])


def test_evaluation_reads_the_slow_weights():
    model_fn = model()
    with tf.Graph().as_default():
        v1.train.create_global_step()
        features = {'image': tf.constant(stepping.IMAGES)}
        model_fn(features, tf.constant(stepping.LABELS), 'eval')
        read = {v.op.name for v in v1.global_variables()} - {'global_step'}
    assert read and all(name.endswith(SUFFIX) for name in read)


def test_a_run_that_goes_on_is_the_run_that_was_not_killed(tmp_path, monkeypatch):
    settings = {'name': 'nesterov', 'learning_rate': 0.1, 'lookahead': (2, 0.9)}
    maker = small_run.small_mlp(settings)
    monkeypatch.setattr(small_run, 'small_model_fn', maker)
    # Goes on from step 3, which is between two meetings.
    found = small_run.killed_and_resumed(tmp_path)
    assert f'mlp/logits/kernel{SUFFIX}' in found


def test_what_is_refused():
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
        Config(lookahead='5:0.95', replicas=2)


def test_what_is_written():
    assert parse_lookahead('') is None
    assert parse_lookahead('5:0.95') == (5, 0.95)
    for text in ('5', 'a:b', '5:', '0.95:5'):
        with pytest.raises(SettingError, match='STEPS:DECAY'):
            parse_lookahead(text)
