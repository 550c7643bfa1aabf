"""Training on the hardest examples: which are chosen, what is trained on them."""

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.config.config import Config
from estimator_clf.core.errors import ConfigError
from estimator_clf.training.config_checks import check
from model_fns import SettingError, make_model_fn
from model_fns.heads import head
from model_fns.heads.hard_example_mining import HardExampleMiner
from model_fns.layers.layer_builder import LayerBuilder
from model_fns.layers.network import Network
from model_fns.optimizers.ema import SUFFIX
from tests.helpers import launching, small_run, stepping
from tests.helpers.stepping import IMAGES, LABELS

v1 = tf.compat.v1

HALF = {'hard_example_fraction': 0.5, 'proxy': 'linear'}
SGD = {'name': 'sgd', 'learning_rate': 0.01}

# `linear` begins with zeros, with which all examples are as hard.
KERNEL = np.random.default_rng(2).normal(0, 0.05, (192, 3)).astype(np.float32)
FIRST = {'proxy/linear/logits/kernel': KERNEL}


def model(network='cnn', **kwargs):
    return stepping.model(network, **{**HALF, **kwargs})


def losses(weights, labels=LABELS, smoothing=0.0):
    """The proxy's losses in NumPy, float64 [B]."""
    x = (IMAGES.astype(np.float64).reshape(len(IMAGES), -1) - 127) / 70
    kernel = weights['proxy/linear/logits/kernel']
    logits = x @ kernel + weights['proxy/linear/logits/bias']
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    targets = np.eye(3)[labels] * (1 - smoothing) + smoothing / 3
    return -(targets * logs).sum(1)


def hard_example_fraction(weights, count=6, **kwargs):
    return np.sort(np.argsort(losses(weights, **kwargs))[-count:])


def main_only(state):
    return {n: v for n, v in state.items() if not n.startswith('proxy/')}


@pytest.mark.parametrize('smoothing', [0.0, 0.2])
def test_a_step_is_one_on_the_examples_with_the_largest_losses(smoothing):
    model_fn = model(optimizer=SGD, label_smoothing=smoothing)
    states, shown = stepping.train(model_fn, 4, FIRST)
    picked = set()
    for before, after, seen in zip(states, states[1:], shown, strict=False):
        chosen = hard_example_fraction(before, smoothing=smoothing)
        picked.add(tuple(chosen))
        plain = stepping.model('cnn', optimizer=SGD, label_smoothing=smoothing)
        wanted, said = stepping.train(
            plain, 1, main_only(before), IMAGES[chosen], LABELS[chosen]
        )
        stepping.close(wanted[1], main_only(after))
        stepping.close(said[0], seen)
    assert len(picked) > 1, 'no test of a choice: it never changed'


def test_the_proxy_is_trained_on_them_too():
    states, _ = stepping.train(model(optimizer=SGD), 1, FIRST)
    chosen = hard_example_fraction(states[0])
    start = {
        n.removeprefix('proxy/'): v
        for n, v in states[0].items()
        if n.startswith('proxy/')
    }
    alone = make_model_fn(
        'linear',
        num_classes=3,
        mean=127.0,
        stddev=70.0,
        optimizer=stepping.OptimizerSpec(**SGD),
    )
    wanted, _ = stepping.train(alone, 1, start, IMAGES[chosen], LABELS[chosen])
    for name in start:
        np.testing.assert_allclose(
            states[1][f'proxy/{name}'], wanted[1][name], rtol=1e-5, atol=1e-7
        )


@pytest.mark.parametrize('static', [True, False])
@pytest.mark.parametrize('share, count', [(0.01, 1), (0.25, 3), (0.9, 11)])
def test_count(share, count, static):
    with tf.Graph().as_default(), v1.Session() as session:
        v1.train.create_global_step()
        shape = [12 if static else None, 8, 8, 3]
        images = v1.placeholder(tf.uint8, shape)
        labels = v1.placeholder(tf.int32, shape[:1])
        chosen, left, loss = HardExampleMiner(share, 'linear', num_classes=3).choose(
            lambda: LayerBuilder(True),
            images,
            labels,
            lambda logits, labels: head.example_losses(logits, labels, num_classes=3),
        )
        session.run(v1.global_variables_initializer())
        feed = {images: IMAGES, labels: LABELS}
        found = session.run([chosen, left, loss], feed)
        assert [len(x) for x in found] == [count] * 3
        if static:
            assert chosen.shape == [count, 8, 8, 3]
        assert found[0].dtype == np.uint8


def test_mixed_labels_and_parts_and_steps():
    mixed = np.random.default_rng(1).dirichlet(np.ones(3), 12).astype(np.float32)
    states, _ = stepping.train(model(gradient_accumulation_steps=2), 2, labels=mixed)
    assert not np.allclose(
        states[0]['cnn/logits/kernel'], states[2]['cnn/logits/kernel']
    )
    assert not np.allclose(
        states[0]['proxy/linear/logits/kernel'],
        states[2]['proxy/linear/logits/kernel'],
    )


def test_parts_choose_each_for_itself():
    states, _ = stepping.train(
        model(optimizer=SGD, gradient_accumulation_steps=2), 1, FIRST
    )
    loss = losses(states[0])
    chosen = np.concatenate([np.argsort(loss[:6])[-3:], 6 + np.argsort(loss[6:])[-3:]])
    wanted, _ = stepping.train(
        stepping.model('cnn', optimizer=SGD),
        1,
        main_only(states[0]),
        IMAGES[chosen],
        LABELS[chosen],
    )
    stepping.close(wanted[1], main_only(states[1]), atol=1e-5)


def test_each_network_is_clipped_by_its_own_norm():
    sgd = {'name': 'sgd', 'learning_rate': 1.0, 'clip_norm': 0.01}
    states, _ = stepping.train(model(optimizer=sgd), 1, FIRST)
    learnt = [n for n in states[0] if 'moving' not in n and n != 'global_step']
    moved = {n: states[1][n] - states[0][n] for n in learnt}
    for proxy in (False, True):
        parts = [v for n, v in moved.items() if n.startswith('proxy/') == proxy]
        norm = np.sqrt(sum(np.sum(np.square(v)) for v in parts))
        assert norm == pytest.approx(0.01, rel=1e-3)


def test_what_is_frozen_is_of_the_network_only():
    frozen = model(optimizer={**SGD, 'train_only': ('cnn/logits',)})
    states, _ = stepping.train(frozen, 1, FIRST)
    moved = {n for n, v in states[0].items() if not np.array_equal(v, states[1][n])}
    names = {n for n in states[0] if n.startswith(('cnn/logits/', 'proxy/'))}
    assert moved == names | {'global_step'}
    states, _ = stepping.train(model(optimizer={**SGD, 'freeze': ('proxy/',)}), 1)
    name = 'proxy/linear/logits/kernel'
    assert not np.array_equal(states[0][name], states[1][name])


@pytest.mark.parametrize('extra', [{'ema_decay': 0.9}, {'lookahead': (2, 0.9)}])
def test_no_averages_of_what_no_evaluation_reads(extra):
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


def test_the_same_network_may_choose():
    states, _ = stepping.train(
        model('mlp', proxy='mlp', proxy_args={'hidden': (4,)}), 1
    )
    assert states[0]['proxy/mlp/dense1/kernel'].shape[1] == 4
    assert states[0]['mlp/dense1/kernel'].shape[1] == 8


def test_first_weights_of_both():
    both = HardExampleMiner(0.5, 'airbench', num_classes=3, mean=127.0, stddev=70.0)
    run = Network('airbench', num_classes=3, mean=127.0, stddev=70.0)
    batches = [IMAGES[:6], IMAGES[6:]]
    found = both.data_dependent_init(run)(batches)
    wanted = run.data_dependent_init(batches)['airbench/whiten/kernel']
    assert set(found) == {'airbench/whiten/kernel', 'proxy/airbench/whiten/kernel'}
    for value in found.values():
        np.testing.assert_array_equal(value, wanted)
    assert (
        HardExampleMiner(0.5, 'linear').data_dependent_init(Network('linear')) is None
    )
    assert set(HardExampleMiner(0.5, 'linear').data_dependent_init(run)(batches)) == {
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


def test_a_run_that_goes_on_is_the_run_that_was_not_killed(tmp_path, monkeypatch):
    maker = small_run.small_mlp(
        {'name': 'adam', 'learning_rate': 0.1},
        hard_example_fraction=0.5,
        proxy='airbench',
        proxy_args={'widths': (4,), 'whiten_bias': True},
    )
    monkeypatch.setattr(small_run, 'small_model_fn', maker)
    found = small_run.killed_and_gone_on(tmp_path)
    assert 'proxy/airbench/group1/conv1/kernel' in found


def test_as_a_user_trains_and_exports(tmp_path):
    run = tmp_path / 'run'
    done = launching.launch(
        'train',
        '--dataset=digits',
        '--network=linear',
        '--hard_example_fraction=0.25',
        '--proxy=airbench',
        '--proxy_args=widths=8x8',
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
    'proxy, args, said',
    [
        ('airbanch', '', "`proxy`: there is no 'airbanch'; did you mean 'airbench'"),
        ('airbench', 'width=8', "`proxy_args`: no setting of 'airbench': 'width'"),
        ('pretrained', '', '`proxy_args=weights=none`'),
    ],
)
def test_a_wrong_proxy_is_said_at_once(proxy, args, said):
    config = Config(
        dataset='digits', hard_example_fraction=0.5, proxy=proxy, proxy_args=args
    )
    with pytest.raises(ValueError) as caught:
        check(config)
    assert said in str(caught.value)


def test_images_are_needed():
    features = {
        'no_image': tf.zeros([12, 8, 8, 0]),
        'features': tf.zeros([12, 4]),
    }
    with tf.Graph().as_default(), pytest.raises(SettingError, match='`cache_features`'):
        model()(features, tf.constant(LABELS), 'train')


@pytest.mark.parametrize(
    'kwargs, said',
    [
        ({'proxy': None}, '`hard_example_fraction`'),
        ({'hard_example_fraction': 0.0}, '`hard_example_fraction` must be above 0'),
        ({'hard_example_fraction': 1.5}, '`hard_example_fraction` must be below 1'),
        ({'hard_example_fraction': 1.0}, '`proxy` needs `hard_example_fraction`'),
        ({'class_weights': (1.0, 2.0, 3.0)}, '`class_weights`'),
        ({'proxy': 'linaer'}, "`proxy`: there is no 'linaer'; did you mean 'linear'"),
        ({'proxy': 'linear_regression'}, '`proxy` must be a network for images'),
        ({'proxy_args': {'size': 3}}, '`proxy_args`: '),
    ],
)
def test_refused(kwargs, said):
    with pytest.raises(SettingError) as caught:
        model(**kwargs)
    assert said in str(caught.value)


def test_a_setting_that_a_layer_of_the_proxy_cannot_use():
    with pytest.raises(SettingError) as caught:
        stepping.train(model(proxy='airbench', proxy_args={'widths': (8,) * 4}), 1)
    assert str(caught.value).startswith('`proxy`')


@pytest.mark.parametrize(
    'settings',
    [
        {'hard_example_fraction': 0.5},
        {'proxy': 'linear'},
        {'proxy_args': 'a=1'},
        {'hard_example_fraction': 0.0, 'proxy': 'linear'},
        {**HALF, 'class_weights': '1,2,3'},
        {**HALF, 'cache_features': True, 'freeze': 'conv1'},
    ],
)
def test_refused_at_once(settings):
    with pytest.raises(ConfigError) as caught:
        Config(dataset='digits', **settings)
    assert '`hard_example_fraction`' in str(caught.value)
