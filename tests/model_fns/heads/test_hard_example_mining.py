"""Hard example mining: the selected examples and the training on them."""

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.config.config import make_config
from estimator_clf.core.errors import ConfigError
from model_fns import ModelSpec, OptimizerSpec, SettingError, make_model_fn
from model_fns.heads import losses as head_losses
from model_fns.heads.hard_example_mining import HardExampleMiner
from model_fns.layers.layer_builder import LayerBuilder
from model_fns.layers.network import Network
from model_fns.optimizers.ema import SUFFIX
from tests.helpers import launching, small_run, stepping
from tests.helpers.stepping import IMAGES, LABELS

v1 = tf.compat.v1

HALF = {'hard_example_fraction': 0.5, 'proxy': 'linear'}
SGD = {'name': 'sgd', 'learning_rate': 0.01}

# `linear` starts at zeros, which make all examples equally hard.
KERNEL = np.random.default_rng(2).normal(0, 0.05, (192, 3)).astype(np.float32)
FIRST = {'proxy/linear/logits/kernel': KERNEL}


def model(network='cnn', **kwargs):
    return stepping.model(network, **{**HALF, **kwargs})


def proxy_losses(weights, labels=LABELS, smoothing=0.0):
    """Computes the proxy's losses in NumPy, float64 [B]."""
    x = (IMAGES.astype(np.float64).reshape(len(IMAGES), -1) - 127) / 70
    kernel = weights['proxy/linear/logits/kernel']
    logits = x @ kernel + weights['proxy/linear/logits/bias']
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    targets = np.eye(3)[labels] * (1 - smoothing) + smoothing / 3
    return -(targets * logs).sum(1)


def hardest(weights, count=6, **kwargs):
    return np.sort(np.argsort(proxy_losses(weights, **kwargs))[-count:])


def without_proxy(state):
    return {n: v for n, v in state.items() if not n.startswith('proxy/')}


@pytest.mark.combinations
@pytest.mark.parametrize('smoothing', [0.0, 0.2])
def test_a_step_is_one_on_the_examples_with_the_largest_losses(smoothing):
    model_fn = model(optimizer=SGD, label_smoothing=smoothing)
    states, logs = stepping.train(model_fn, 4, FIRST)
    selections = set()
    for before, after, log in zip(states, states[1:], logs, strict=False):
        chosen = hardest(before, smoothing=smoothing)
        selections.add(tuple(chosen))
        plain = stepping.model('cnn', optimizer=SGD, label_smoothing=smoothing)
        expected, expected_logs = stepping.train(
            plain, 1, without_proxy(before), IMAGES[chosen], LABELS[chosen]
        )
        stepping.close(expected[1], without_proxy(after))
        stepping.close(expected_logs[0], log)
    assert len(selections) > 1, 'the selection never changed'


def test_the_proxy_is_trained_on_them_too():
    states, _ = stepping.train(model(optimizer=SGD), 1, FIRST)
    chosen = hardest(states[0])
    start = {
        n.removeprefix('proxy/'): v
        for n, v in states[0].items()
        if n.startswith('proxy/')
    }
    alone = make_model_fn(
        ModelSpec('linear', num_classes=3, mean=127.0, stddev=70.0),
        optimizer=OptimizerSpec(**SGD),
    )
    expected, _ = stepping.train(alone, 1, start, IMAGES[chosen], LABELS[chosen])
    for name in start:
        np.testing.assert_allclose(
            states[1][f'proxy/{name}'], expected[1][name], rtol=1e-5, atol=1e-7
        )


@pytest.mark.parametrize('static', [True, False])
@pytest.mark.parametrize('share, count', [(0.01, 1), (0.25, 3), (0.9, 11)])
def test_count(share, count, static):
    with tf.Graph().as_default(), v1.Session() as session:
        v1.train.create_global_step()
        shape = [12 if static else None, 8, 8, 3]
        images = v1.placeholder(tf.uint8, shape)
        labels = v1.placeholder(tf.int32, shape[:1])
        miner = HardExampleMiner(share, ModelSpec('linear', num_classes=3))
        chosen, left, loss = miner.select(
            LayerBuilder(True),
            images,
            labels,
            lambda logits, labels: head_losses.example_losses(logits, labels, 3),
        )
        session.run(v1.global_variables_initializer())
        feed = {images: IMAGES, labels: LABELS}
        found = session.run([chosen, left, loss], feed)
        assert [len(x) for x in found] == [count] * 3
        if static:
            assert chosen.shape == [count, 8, 8, 3]
        assert found[0].dtype == np.uint8


def test_mixed_labels_with_microbatches():
    mixed = np.random.default_rng(1).dirichlet(np.ones(3), 12).astype(np.float32)
    states, _ = stepping.train(model(gradient_accumulation_steps=2), 2, labels=mixed)
    assert not np.allclose(
        states[0]['cnn/logits/kernel'], states[2]['cnn/logits/kernel']
    )
    assert not np.allclose(
        states[0]['proxy/linear/logits/kernel'],
        states[2]['proxy/linear/logits/kernel'],
    )


def test_each_microbatch_selects_from_its_own_examples():
    states, _ = stepping.train(
        model(optimizer=SGD, gradient_accumulation_steps=2), 1, FIRST
    )
    loss = proxy_losses(states[0])
    chosen = np.concatenate([np.argsort(loss[:6])[-3:], 6 + np.argsort(loss[6:])[-3:]])
    expected, _ = stepping.train(
        stepping.model('cnn', optimizer=SGD),
        1,
        without_proxy(states[0]),
        IMAGES[chosen],
        LABELS[chosen],
    )
    stepping.close(expected[1], without_proxy(states[1]), atol=1e-5)


def test_each_network_is_clipped_by_its_own_norm():
    sgd = {'name': 'sgd', 'learning_rate': 1.0, 'clip_norm': 0.01}
    states, _ = stepping.train(model(optimizer=sgd), 1, FIRST)
    learnt = [n for n in states[0] if 'moving' not in n and n != 'global_step']
    moved = {n: states[1][n] - states[0][n] for n in learnt}
    for proxy in (False, True):
        parts = [v for n, v in moved.items() if n.startswith('proxy/') == proxy]
        norm = np.sqrt(sum(np.sum(np.square(v)) for v in parts))
        assert norm == pytest.approx(0.01, rel=1e-3)


def test_freeze_is_about_the_main_network_only():
    frozen = model(optimizer={**SGD, 'train_only': ('cnn/logits',)})
    states, _ = stepping.train(frozen, 1, FIRST)
    moved = {n for n, v in states[0].items() if not np.array_equal(v, states[1][n])}
    names = {n for n in states[0] if n.startswith(('cnn/logits/', 'proxy/'))}
    assert moved == names | {'global_step'}
    states, _ = stepping.train(model(optimizer={**SGD, 'freeze': ('proxy/',)}), 1)
    name = 'proxy/linear/logits/kernel'
    assert not np.array_equal(states[0][name], states[1][name])


@pytest.mark.parametrize('extra', [{'ema_decay': 0.9}, {'lookahead': (2, 0.9)}])
def test_the_proxy_has_no_averages(extra):
    settings = {'name': 'sgd', 'total_steps': 4, **extra}
    states, _ = stepping.train(model(optimizer=settings), 3)
    averaged = {n for n in states[0] if n.endswith(SUFFIX)}
    assert averaged and not any(n.startswith('proxy/') for n in averaged)


@pytest.mark.parametrize('mode', ['eval', 'infer'])
def test_evaluation_and_prediction_are_without_the_proxy(mode):
    with tf.Graph().as_default():
        v1.train.create_global_step()
        labels = tf.constant(LABELS) if mode == 'eval' else None
        model()({'image': tf.constant(IMAGES)}, labels, mode)
        assert v1.global_variables()
        assert not [v for v in v1.global_variables() if v.name.startswith('proxy')]


def test_the_proxy_may_be_the_same_network():
    states, _ = stepping.train(
        model('mlp', proxy='mlp', proxy_args={'hidden': (4,)}), 1
    )
    assert states[0]['proxy/mlp/dense1/kernel'].shape[1] == 4
    assert states[0]['mlp/dense1/kernel'].shape[1] == 8


def test_data_dependent_init_of_both():
    airbench = ModelSpec('airbench', num_classes=3, mean=127.0, stddev=70.0)
    linear = ModelSpec('linear', num_classes=3)
    both, network = HardExampleMiner(0.5, airbench), Network(airbench)
    batches = [IMAGES[:6], IMAGES[6:]]
    found = both.data_dependent_init(network)(batches)
    expected = network.data_dependent_init(batches)['airbench/whiten/kernel']
    assert set(found) == {'airbench/whiten/kernel', 'proxy/airbench/whiten/kernel'}
    for value in found.values():
        np.testing.assert_array_equal(value, expected)
    miner = HardExampleMiner(0.5, linear)
    assert miner.data_dependent_init(Network(linear)) is None
    assert set(miner.data_dependent_init(network)(batches)) == {
        'airbench/whiten/kernel'
    }


def test_compiled_is_the_same():
    if not tf.test.is_built_with_xla():
        pytest.skip('no XLA in this TensorFlow')
    sgd = {**SGD, 'ema_decay': 0.9}
    plain, _ = stepping.train(model('mlp', optimizer=sgd), 3, FIRST)
    compiled, _ = stepping.train(model('mlp', optimizer=sgd, xla=True), 3, FIRST)
    stepping.close(plain[3], compiled[3])
    assert set(plain[3]) == set(compiled[3])


@pytest.mark.extended
def test_a_resumed_run_equals_an_unbroken_run(tmp_path, monkeypatch):
    maker = small_run.small_mlp(
        {'name': 'adam', 'learning_rate': 0.1},
        hard_example_fraction=0.5,
        proxy='airbench',
        proxy_args={'widths': (4,), 'whiten_bias': True},
    )
    monkeypatch.setattr(small_run, 'small_model_fn', maker)
    found = small_run.killed_and_resumed(tmp_path)
    assert 'proxy/airbench/group1/conv1/kernel' in found


@pytest.mark.extended
def test_a_run_trains_and_exports(tmp_path):
    run = tmp_path / 'run'
    done = launching.launch(
        'train',
        '--dataset=digits',
        '--network=linear',
        '--hard_example_fraction=0.25',
        '--proxy=airbench(widths=(8, 8))',
        '--max_steps=60',
        '--learning_rate=0.05',
        f'--model_dir={run}',
    )
    assert done.returncode == 0, done.stderr
    written = launching.lines(run / 'metrics.jsonl')
    assert written[-1]['split'] == 'test' and written[-1]['accuracy'] > 0.5
    weights = dict(tf.train.list_variables(str(run)))
    assert weights['proxy/airbench/group1/conv1/kernel'][-1] == 8
    kernel = tf.train.load_variable(str(run), 'proxy/airbench/whiten/kernel')
    assert np.abs(kernel).max() > 0.1, 'not computed from images'
    (version,) = (run / 'export').iterdir()
    exported = tf.saved_model.load(str(version))
    assert not [v.name for v in exported.variables if 'proxy' in v.name]


@pytest.mark.parametrize(
    'proxy, message',
    [
        ('airbanch', "`proxy`: there is no 'airbanch'; did you mean 'airbench'"),
        ('airbench(width=8)', "`proxy`: no option of 'airbench': 'width'"),
        ('pretrained', 'weights=none'),
    ],
)
def test_an_invalid_proxy_is_refused_at_once(proxy, message):
    with pytest.raises(ValueError) as caught:
        make_config(dataset='digits', hard_example_fraction=0.5, proxy=proxy)
    assert message in str(caught.value)


def test_images_are_required():
    features = {
        'no_image': tf.zeros([12, 8, 8, 0]),
        'features': tf.zeros([12, 4]),
    }
    with tf.Graph().as_default(), pytest.raises(SettingError, match='`cache_features`'):
        model()(features, tf.constant(LABELS), 'train')


@pytest.mark.parametrize(
    'kwargs, message',
    [
        ({'proxy': None}, '`hard_example_fraction`'),
        ({'hard_example_fraction': 0.0}, '`hard_example_fraction` must be above 0'),
        ({'hard_example_fraction': 1.5}, '`hard_example_fraction` must be at most 1'),
        ({'hard_example_fraction': 1.0}, '`proxy` requires `hard_example_fraction`'),
        ({'class_weights': (1.0, 2.0, 3.0)}, '`class_weights`'),
        ({'proxy': 'linaer'}, "`proxy`: there is no 'linaer'; did you mean 'linear'"),
        ({'proxy': 'linear_regression'}, '`proxy` must be a network for images'),
        ({'proxy_args': {'size': 3}}, '`proxy`: '),
    ],
)
def test_invalid_settings_are_refused(kwargs, message):
    with pytest.raises(SettingError) as caught:
        model(**kwargs)
    assert message in str(caught.value)


def test_an_invalid_option_of_a_layer_of_the_proxy_is_refused():
    with pytest.raises(SettingError) as caught:
        stepping.train(model(proxy='airbench', proxy_args={'widths': (8,) * 4}), 1)
    assert str(caught.value).startswith('`proxy`')


@pytest.mark.parametrize(
    'settings',
    [
        {'hard_example_fraction': 0.5},
        {'proxy': 'linear'},
        {'hard_example_fraction': 0.0, 'proxy': 'linear'},
        {**HALF, 'class_weights': '0=1, 1=2'},
        {**HALF, 'cache_features': True, 'freeze': 'conv1'},
    ],
)
def test_invalid_configurations_are_refused_at_once(settings):
    with pytest.raises(ConfigError) as caught:
        make_config(dataset='digits', **settings)
    assert '`hard_example_fraction`' in str(caught.value)
