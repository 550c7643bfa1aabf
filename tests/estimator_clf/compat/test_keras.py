"""Keras is imported on first use, and works then."""

import importlib.metadata

import pytest

from tests.helpers.launching import run_program

PROGRAM = """
import sys
from estimator_clf.compat import estimator
import tensorflow as tf
assert 'keras' not in sys.modules
from tensorflow.keras import layers
import keras
assert keras.layers.Dense is layers.Dense is tf.keras.layers.Dense
model = tf.keras.Sequential([layers.Dense(2)])
model.compile('adam', tf.losses.MeanSquaredError())
model.fit(tf.ones([4, 3]), tf.ones([4, 2]), verbose=0)
print(model(tf.ones([1, 3])).shape)
"""


keras_3 = pytest.mark.skipif(
    importlib.metadata.version('keras') < '3', reason='Estimator uses Keras 2'
)


@pytest.mark.extended
@keras_3
@pytest.mark.parametrize('before', ['', 'import tensorflow\n', 'import keras\n'])
def test_keras_is_imported_on_first_use(before):
    program = PROGRAM.replace('assert', '# assert', 1) if before else PROGRAM
    assert run_program(before + program).strip() == '(1, 2)'


METRICS = """
import sys, tempfile
from estimator_clf.compat import estimator
import tensorflow as tf
v1 = tf.compat.v1
def model_fn(features, labels, mode):
    loss = v1.get_variable('w', [], initializer=v1.ones_initializer()) * features
    metrics = {'mean': v1.metrics.mean(loss)}
    step = v1.train.get_or_create_global_step()
    return estimator.EstimatorSpec(
        mode, loss=loss, train_op=v1.assign_add(step, 1), eval_metric_ops=metrics
    )
def input_fn():
    return tf.data.Dataset.from_tensors(3.0)
model = estimator.Estimator(model_fn, tempfile.mkdtemp())
model.train(input_fn)
print(model.evaluate(input_fn)['mean'], 'keras' in sys.modules)
from tensorflow_estimator.python.estimator.model_fn import tf as theirs
print(isinstance(tf.keras.metrics.Mean(), theirs.keras.metrics.Metric))
"""


@pytest.mark.extended
@keras_3
def test_metrics_do_not_load_keras():
    assert run_program(METRICS).split() == ['3.0', 'False', 'True']


LAYERS = """
import tempfile
from estimator_clf.compat import estimator
import tensorflow as tf
v1 = tf.compat.v1
def model_fn(features, labels, mode):
    y = DENSE
    loss = tf.reduce_mean((y - 1.0) ** 2)
    step = v1.train.get_or_create_global_step()
    train = v1.train.GradientDescentOptimizer(0.01).minimize(
        loss, step, v1.get_collection('trainable_variables')
    )
    return estimator.EstimatorSpec(mode, loss=loss, train_op=train)
def input_fn():
    return tf.data.Dataset.from_tensors(tf.ones([4, 3])).repeat(2)
model = estimator.Estimator(model_fn, tempfile.mkdtemp())
first = model.train(input_fn, steps=1).evaluate(input_fn)['loss']
print(model.train(input_fn, steps=1).evaluate(input_fn)['loss'] < first)
"""


@pytest.mark.extended
@pytest.mark.parametrize(
    'dense',
    ['tf.keras.layers.Dense(1)(features)', 'v1.layers.dense(features, 1)'],
)
def test_layers_of_keras_2(dense, monkeypatch):
    pytest.importorskip('tf_keras')
    monkeypatch.setenv('TF_USE_LEGACY_KERAS', '1')
    assert run_program(LAYERS.replace('DENSE', dense)).split() == ['True']
