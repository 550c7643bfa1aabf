"""Steps of a model_fn, one by one, in a bare session."""

import numpy as np
import tensorflow as tf

from estimator_clf.core import graph_collections
from tests.helpers.model_fns import model_fn_of

v1 = tf.compat.v1

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 8, 8, 3)).astype(np.uint8)
# Skewed, and sorted: the micro-batches have different classes.
LABELS = np.array([0] * 7 + [1] * 4 + [2], np.int32)
ARGS = {
    'cnn': {'filters': (4,), 'kernel': 3, 'hidden': (8,), 'dropout': 0.0},
    'mlp': {'hidden': (8,)},
}


def model(network='mlp', args=None, optimizer=None, **kwargs):
    """Returns a small model_fn; `args` joins the network's settings."""
    return model_fn_of(
        network,
        num_classes=3,
        mean=127.0,
        stddev=70.0,
        network_args={**ARGS[network], **(args or {})},
        optimizer=optimizer or {},
        **kwargs,
    )


def train(model_fn, steps, start=None, images=IMAGES, labels=LABELS, change=None):
    """Trains from `start`, or from the first weights.

    Args:
        model_fn: the model_fn.
        steps: how many.
        start: dict name -> value, as `train` returns them.
        images: of each step.
        labels: of each step.
        change: dict name -> value of variables to set before the first step.

    Returns:
        List of dicts name -> value, one before the first step and one after each, of
        all variables; and the list of dicts of what each step shows.
    """
    with tf.Graph().as_default(), v1.Session() as session:
        v1.train.create_global_step()
        features = {'image': tf.constant(images)}
        spec = model_fn(features, tf.constant(labels), 'train')
        variables = {v.op.name: v for v in v1.global_variables()}
        session.run(v1.global_variables_initializer())
        for name, value in {**(start or {}), **(change or {})}.items():
            variables[name].load(value, session)
        shown = {
            tag: t for tag, t in v1.get_collection(graph_collections.TRAIN_METRICS)
        }
        states, logs = [session.run(variables)], []
        for _ in range(steps):
            logs.append(session.run([shown, spec.train_op])[0])
            states.append(session.run(variables))
        return states, logs


def close(a, b, rtol=1e-4, atol=1e-6, only=lambda name: True):
    """Asserts that two dicts of variables agree within rounding."""
    names = [name for name in a if name in b and only(name)]
    assert names
    for name in names:
        np.testing.assert_allclose(a[name], b[name], rtol, atol, err_msg=name)


def same(a, b):
    """Asserts that two dicts of variables are the same to the bit."""
    assert set(a) == set(b)
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name], err_msg=name)
