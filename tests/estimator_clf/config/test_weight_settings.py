"""The settings of weights and precision, from the flags to what a run leaves."""

import json
import os
import types

import numpy as np
import pytest
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight

from estimator_clf.config import class_weights
from estimator_clf.config.config import make_config
from estimator_clf.core.errors import ConfigError, RunError, SettingError
from estimator_clf.core.tf_errors import translate_tf_errors
from estimator_clf.training import models
from estimator_clf.training.trainer import train_and_evaluate
from model_fns.optimizers.ema import SUFFIX
from tests.helpers import small_run, stepping
from tests.helpers.launching import SMALL, launch, lines


def run(model_dir, max_steps=4, **settings):
    config = make_config(
        dataset='arrays',
        network='mlp(hidden=8)',
        batch_size=8,
        max_steps=max_steps,
        save_every='2',
        eval_every='2',
        log_every='1',
        model_dir=str(model_dir),
        **{'export': False, **settings},
    )
    return train_and_evaluate(config, source=small_run.source())


def values(model_dir):
    reader = tf.train.load_checkpoint(str(model_dir))
    return {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map()}


SETTINGS = [
    {'ema_decay': 0.9, 'freeze': 'dense1/bias', 'lr_multipliers': 'dense=0.1'},
    {
        'precision': 'float16',
        'gradient_accumulation_steps': 4,
        'class_weights': 'balanced',
    },
    pytest.param({'precision': 'bfloat16', 'xla': True}, marks=pytest.mark.slow),
]


@pytest.mark.extended
@pytest.mark.parametrize('settings', SETTINGS, ids=['averaged', 'float16', 'xla'])
def test_a_resumed_run_is_the_unbroken_run(settings, tmp_path):
    whole = run(tmp_path / 'whole', **settings)
    run(tmp_path / 'legs', **settings, max_steps=2)
    legs = run(tmp_path / 'legs', **settings)
    assert whole.step == legs.step == 4
    assert whole.metrics == legs.metrics
    a, b = values(tmp_path / 'whole'), values(tmp_path / 'legs')
    assert set(a) == set(b)
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name], err_msg=name)


def test_each_setting_reaches_the_training():
    images, labels = small_run.make_images(8)

    def trained(**settings):
        config = make_config(network='mlp(hidden=8)', **settings)
        model_fn = models.build_model_fn(config, small_run.source().info, 10)
        return stepping.train(model_fn, 3, images=images, labels=labels)[0][-1]

    plain = trained()
    frozen = trained(freeze='dense1')
    first = trained(lr_multipliers='dense1=1e-9')
    kernel = 'mlp/dense1/kernel'
    np.testing.assert_allclose(first[kernel], frozen[kernel], atol=1e-7)
    assert not np.allclose(plain[kernel], frozen[kernel], atol=1e-7)
    decayed = trained(weight_decay=0.5)
    other = trained(weight_decay=0.5, decay_multipliers='dense1=0.1')
    assert not np.allclose(decayed[kernel], other[kernel], atol=1e-7)
    assert 'loss_scale/value' in trained(precision='float16')
    assert kernel + SUFFIX in trained(ema_decay=0.9)
    parts = trained(gradient_accumulation_steps=4)
    np.testing.assert_allclose(parts[kernel], plain[kernel], rtol=1e-3, atol=1e-5)
    bfloat16 = trained(precision='bfloat16')
    assert not np.allclose(bfloat16[kernel], plain[kernel], rtol=1e-5, atol=1e-7)


def test_balanced_weights_are_those_of_scikit_learn():
    labels = np.repeat([0, 1, 2], [50, 7, 3])
    expected = compute_class_weight('balanced', classes=np.arange(3), y=labels)
    found = class_weights.parse(class_weights.balanced(np.bincount(labels), 'abc'))
    np.testing.assert_allclose([found[name] for name in 'abc'], expected, rtol=1e-5)
    with pytest.raises(ConfigError, match="the class 'b' has no training example"):
        class_weights.balanced([3, 0], 'ab')


def test_what_words_stand_for_is_in_the_settings():
    source = small_run.source()
    config = make_config(dataset='arrays', class_weights='balanced', precision='auto')
    resolved = models.resolve_auto(config, source)
    counts = np.bincount(small_run.make_images(45)[1])
    text = resolved.optimization.class_weights
    weights = class_weights.in_order(text, source.class_names)
    np.testing.assert_allclose(weights, 45 / (3 * counts), rtol=1e-5)
    assert resolved.hardware.precision in ('float32', 'bfloat16', 'float16')
    # A resumed run resolves to the same.
    assert models.resolve_auto(resolved, source) == resolved


@pytest.mark.parametrize(
    'settings, message',
    [
        (
            {'batch_size': 9, 'gradient_accumulation_steps': 2},
            '`batch_size` must be a multiple',
        ),
        (
            {'batch_size': 8, 'gradient_accumulation_steps': 4, 'replicas': 4},
            r'`replicas`\), 16, got 8',
        ),
        ({'ema_decay': 1.0}, '`ema_decay` must be from 0 to below 1, got 1.0'),
        (
            {'gradient_accumulation_steps': 0},
            '`gradient_accumulation_steps` must be at least 1',
        ),
        ({'precision': 'half'}, '`precision` must be one of float32, bfloat16'),
        (
            {'class_weights': 'balanced', 'sampling': 'balanced'},
            '`class_weights=balanced` and `sampling`',
        ),
        (
            {'network': 'linear', 'optimizer': 'ftrl', 'warmup': '5%'},
            'cannot be used with `warmup`',
        ),
        (
            {'network': 'linear', 'optimizer': 'ftrl', 'warm_start': 'run'},
            'cannot be used with `warm_start`',
        ),
        (
            {'network': 'linear', 'optimizer': 'ftrl', 'schedule': 'cosine'},
            'requires `schedule=constant`',
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        make_config(**settings)


def test_patterns_are_checked_at_once():
    with pytest.raises(SettingError, match='`freeze` must be regular expressions'):
        make_config(freeze='a[')
    with pytest.raises(ConfigError, match='`lr_multipliers`.*must be KEY=VALUE'):
        make_config(lr_multipliers='conv1')
    with pytest.raises(ConfigError, match='`lr_multipliers` must be PATTERN=NUMBER'):
        make_config(lr_multipliers='conv1=fast')
    with pytest.raises(ConfigError, match='`decay_multipliers`.*KEY=VALUE'):
        make_config(weight_decay=0.1, decay_multipliers='conv1')


@pytest.mark.parametrize(
    'settings,words',
    [
        ({'eval_samples': 4}, '`eval_samples=4`: nothing in `network=cnn` is random'),
        ({'optimizer': 'ftrl'}, '`optimizer=ftrl` is for `network=linear`'),
        (
            {
                'network': 'pretrained(name=EfficientNetB0)',
                'warm_start': 'run',
            },
            '`warm_start` with EfficientNetB0: the network option weights must',
        ),
        (
            {
                'dataset': 'csv',
                'network': 'linear_regression',
                'label_smoothing': 0.1,
            },
            '`label_smoothing` is for images, not for numbers',
        ),
    ],
)
def test_settings_that_do_not_go_together(settings, words):
    with pytest.raises(ConfigError, match=words):
        make_config(**settings)


def test_settings_that_do():
    make_config(network='fmp', eval_samples=4)
    make_config(network='linear', optimizer='ftrl')
    for weights in ('imagenet', 'none'):
        network = f'pretrained(name=EfficientNetB0, weights={weights})'
        make_config(network=network, warm_start='run')


def test_class_weights_are_numbers_by_name():
    for text in ('1, heavy', 'a=heavy', 'a=-1', 'a=inf'):
        with pytest.raises(ConfigError, match='`class_weights`'):
            make_config(class_weights=text)
    config = make_config(class_weights='middle=2, bright=0.5')
    names = small_run.NAMES
    weights = class_weights.in_order(config.optimization.class_weights, names)
    assert weights == (1.0, 2.0, 0.5)
    with pytest.raises(ConfigError, match="no class 'midle'; did you mean 'middle'"):
        class_weights.in_order('midle=2', names)


@pytest.mark.extended
def test_a_program_compiles_and_says_what_auto_means(tmp_path):
    # At this level TensorFlow logs that it has compiled something.
    env = {**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '0'}
    flags = ['--xla', '--precision=auto', '--class_weights=balanced', '--max_steps=2']
    done = launch(
        'train', *SMALL, *flags, f'--model_dir={tmp_path}', '--noexport', env=env
    )
    assert done.returncode == 0, done.stderr
    assert 'Compiled cluster using XLA' in done.stderr
    settings = json.loads((tmp_path / 'config.json').read_text())['settings']
    assert f'--precision=auto: {settings["precision"]}\n' in done.stderr
    assert f'--class_weights=balanced: {settings["class_weights"]}\n' in done.stderr
    assert len(settings['class_weights'].split(',')) == 10
    assert lines(tmp_path / 'metrics.jsonl')[-1]['split'] == 'test'


def test_a_mistake_before_the_first_step_does_not_bind_the_directory(tmp_path):
    with pytest.raises(SettingError, match="`freeze`: no variable has 'dense9'"):
        run(tmp_path, freeze='dense9')
    assert run(tmp_path, freeze='dense1', max_steps=1).step == 1


def test_what_xla_cannot_compile_is_said_in_words():
    def names(x):
        return tf.strings.length(tf.strings.as_string(x))

    with pytest.raises(RunError, match='`xla`: XLA cannot compile AsString'):
        with translate_tf_errors([small_run.source()]):
            tf.function(names, jit_compile=True)(tf.constant(1.0))


def test_a_checkpoint_that_is_gone_is_said_in_words(tmp_path):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        saver = tf.compat.v1.train.Saver([tf.Variable(0.0)])
        with pytest.raises(RunError, match='no longer exists.*`checkpoint=best`'):
            with translate_tf_errors([small_run.source()]):
                saver.restore(session, str(tmp_path / 'model.ckpt-1'))
    with (
        pytest.raises(ValueError, match='^another$'),
        translate_tf_errors([small_run.source()]),
    ):
        raise ValueError('another')


def test_what_is_wrong_may_lie_in_another_source():
    def broken(name):
        return types.SimpleNamespace(explain=lambda error: name)

    others = [small_run.source()]
    with pytest.raises(RunError, match='^phone/3.png: corrupt$'):
        with translate_tf_errors(others):
            others += [broken(None), broken('phone/3.png: corrupt')]
            raise tf.errors.InvalidArgumentError(None, None, 'Invalid PNG data')
