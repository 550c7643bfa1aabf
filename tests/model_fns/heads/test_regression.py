"""Regression head: metrics, training, predictions, errors."""

from estimator_clf.compat import estimator

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.core import graph_collections
from model_fns import OptimizerSpec
from model_fns.heads.regression import regression
from tests.model_fns.heads.test_classification import evaluate

v1 = tf.compat.v1
ModeKeys = estimator.ModeKeys

RNG = np.random.default_rng(0)
Y = RNG.normal(size=8).astype(np.float32)
TARGET = RNG.normal(size=8).astype(np.float32)


def regress(mode, labels, y=Y):
    shift = v1.get_variable('shift', (), initializer=v1.zeros_initializer())
    return regression(
        mode, {}, tf.constant(y) + shift, labels, optimizer=OptimizerSpec()
    )


@pytest.mark.parametrize('y', [Y, Y[:, np.newaxis]])
@pytest.mark.parametrize('target', [TARGET, TARGET[:, np.newaxis]])
def test_regression_evaluation(y, target):
    with tf.Graph().as_default():
        spec = regress(ModeKeys.EVAL, target, y)
        values = evaluate(spec)
    error = Y - TARGET
    assert values == {
        'average_loss': pytest.approx((error**2).mean(), rel=1e-5),
        'mean_absolute_error': pytest.approx(np.abs(error).mean(), rel=1e-5),
        'root_mean_squared_error': pytest.approx((error**2).mean() ** 0.5, rel=1e-5),
    }


def test_regression_trains_and_predicts():
    with tf.Graph().as_default(), v1.Session() as session:
        spec = regress(ModeKeys.TRAIN, TARGET)
        session.run(v1.global_variables_initializer())
        before = session.run(spec.loss)
        for _ in range(3):
            session.run(spec.train_op)
        assert session.run(spec.loss) < before
        assert set(dict(v1.get_collection(graph_collections.TRAIN_METRICS))) == {
            'loss',
            'learning_rate',
        }
    with tf.Graph().as_default(), v1.Session() as session:
        spec = regress(ModeKeys.PREDICT, None, Y[:, np.newaxis])
        session.run(v1.global_variables_initializer())
        np.testing.assert_array_equal(session.run(spec.predictions['y']), Y)
        assert set(spec.export_outputs['serving_default'].outputs) == {'y'}


def test_regression_refuses_several_columns():
    with tf.Graph().as_default(), pytest.raises(ValueError, match=r'\[B\]'):
        regress(ModeKeys.TRAIN, np.zeros((8, 2), np.float32))
