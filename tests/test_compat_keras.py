"""Keras is loaded when it is asked for, and works then."""

import importlib.metadata

import pytest
from launching import run_program

PROGRAM = """
import sys
from estimator_clf.compat import estimator
import tensorflow as tf
assert 'keras' not in sys.modules, 'loaded already'
from tensorflow.keras import layers
import keras
assert keras.layers.Dense is layers.Dense is tf.keras.layers.Dense
model = tf.keras.Sequential([layers.Dense(2)])
model.compile('adam', tf.losses.MeanSquaredError())
model.fit(tf.ones([4, 3]), tf.ones([4, 2]), verbose=0)
print(model(tf.ones([1, 3])).shape)
"""


@pytest.mark.skipif(
    importlib.metadata.version('keras') < '3', reason='Estimator uses Keras 2'
)
@pytest.mark.parametrize('before', ['', 'import tensorflow\n', 'import keras\n'])
def test_comes_when_asked_for(before):
    program = PROGRAM.replace('assert', '# assert', 1) if before else PROGRAM
    assert run_program(before + program).strip() == '(1, 2)'
