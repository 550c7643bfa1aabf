"""Stochastic ensemble: averages several samples of a stochastic network."""

from estimator_clf.compat import estimator

import numpy as np
import pytest
import tensorflow as tf

from model_fns import OptimizerSpec, SettingError
from model_fns.layers.layer_builder import LayerBuilder
from model_fns.registry import get
from tests.helpers.model_fns import model_fn_of

v1 = tf.compat.v1

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (8, 6, 6, 1)).astype(np.uint8)
LABELS = np.arange(8, dtype=np.int32) % 3
ARGS = {'filters': 4}


def data(repeat=False):
    dataset = tf.data.Dataset.from_tensor_slices(({'image': IMAGES}, LABELS))
    return (dataset.repeat() if repeat else dataset).batch(4)


def model_fn(samples, network='fmp', **kwargs):
    return model_fn_of(
        network,
        num_classes=3,
        mean=127.0,
        stddev=70.0,
        network_args=ARGS if network == 'fmp' else None,
        optimizer=OptimizerSpec('adam', 0.01, ema_decay=kwargs.pop('ema', 0.0)),
        eval_samples=samples,
        **kwargs,
    )


@pytest.mark.extended
def test_several_samples_give_the_mean_of_their_probabilities(tmp_path):
    directory = str(tmp_path)
    # With EMA weights, which each of the samples has to read.
    trained = estimator.Estimator(model_fn(3, ema=0.5), directory)
    trained.train(lambda: data(repeat=True), steps=3)

    def probabilities(samples):
        model = estimator.Estimator(model_fn(samples, ema=0.5), directory)
        return np.stack([p['probabilities'] for p in model.predict(data)])

    # Each sample alone, in a graph of its own.
    singles = []
    suffix = '/ExponentialMovingAverage'
    for number in range(3):
        with tf.Graph().as_default(), v1.Session() as session:
            images = (tf.constant(IMAGES, tf.float32) - 127.0) / 70.0
            with v1.variable_scope('fmp'):
                net = LayerBuilder(False, sample=number)
                p = tf.nn.softmax(get('fmp')(net, images, 3, **ARGS))
            for variable in v1.global_variables():
                value = trained.get_variable_value(variable.op.name + suffix)
                variable.load(value, session)
            singles.append(session.run(p))
    assert np.abs(singles[0] - singles[1]).max() > 1e-4
    np.testing.assert_allclose(probabilities(1), singles[0], rtol=1e-4)
    np.testing.assert_allclose(probabilities(3), np.mean(singles, axis=0), rtol=1e-4)

    right = probabilities(3).argmax(axis=1) == LABELS
    metrics = trained.evaluate(data)
    assert metrics['accuracy'] == pytest.approx(right.mean())
    expected = -np.log(np.mean(singles, axis=0)[np.arange(8), LABELS]).mean()
    assert metrics['average_loss'] == pytest.approx(expected, rel=1e-4)


def test_a_deterministic_network_is_refused(tmp_path):
    model = estimator.Estimator(model_fn(2, 'linear'), str(tmp_path))
    model.train(lambda: data(repeat=True), steps=1)
    with pytest.raises(SettingError, match='`eval_samples` above 1 .*all 2 samples'):
        model.evaluate(data)


def test_invalid_numbers_of_samples_are_refused():
    with pytest.raises(SettingError, match='`eval_samples` must be at least 1'):
        model_fn(0)
    with pytest.raises(SettingError, match='`loss=cross_entropy`'):
        model_fn(2, loss='squared_error')
