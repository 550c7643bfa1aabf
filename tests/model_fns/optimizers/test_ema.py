"""EMA weights: arithmetic, evaluation and export, warm start, resuming."""

from estimator_clf.compat import estimator

import numpy as np
import pytest
import tensorflow as tf

from model_fns.optimizers.ema import SUFFIX
from tests.helpers import stepping
from tests.helpers.stepping import IMAGES, LABELS

v1 = tf.compat.v1

NORMED = {'batch_norm': True}


def averages(state):
    return {n.removesuffix(SUFFIX): v for n, v in state.items() if n.endswith(SUFFIX)}


def reference(states, decay):
    """Computes the averages after each step from the weights, in NumPy."""
    average = {name: states[0][name].astype(np.float64) for name in averages(states[0])}
    for t, state in enumerate(states[1:], 1):
        d = min(decay, (t - 1) / (t + 8))
        average = {n: d * a + (1 - d) * state[n] for n, a in average.items()}
        yield average


@pytest.mark.parametrize('decay', [0.2, 0.999])
def test_averages_follow_the_formula(decay):
    model_fn = stepping.model('cnn', NORMED, {'name': 'adam', 'ema_decay': decay})
    states, _ = stepping.train(model_fn, 5)
    for state, expected in zip(states[1:], reference(states, decay), strict=True):
        stepping.close(averages(state), expected, rtol=1e-5)
    names = set(averages(states[0]))
    assert {'cnn/conv1/kernel', 'cnn/norm1/moving_variance'} <= names
    assert len(names) == 9  # No slots, no steps, no averages of averages.


def test_averages_start_as_the_weights_and_do_not_change_training():
    averaged, _ = stepping.train(stepping.model(optimizer={'ema_decay': 0.9}), 3)
    plain, _ = stepping.train(stepping.model(), 3)
    stepping.same(
        averages(averaged[0]), {n: averaged[0][n] for n in averages(averaged[0])}
    )
    stepping.same({n: averaged[3][n] for n in plain[3]}, plain[3])


def test_averages_do_not_depend_on_the_weights_before_a_warm_start():
    model_fn = stepping.model(optimizer={'ema_decay': 0.9})
    warm = {'mlp/dense1/kernel': np.full((192, 8), 100.0, np.float32)}
    states, _ = stepping.train(model_fn, 2, change=warm)
    kernel = [state['mlp/dense1/kernel'] for state in states]
    average = [averages(state)['mlp/dense1/kernel'] for state in states]
    np.testing.assert_array_equal(average[1], kernel[1])
    np.testing.assert_allclose(average[2], 0.1 * kernel[1] + 0.9 * kernel[2], 1e-6)


def batches():
    data = tf.data.Dataset.from_tensor_slices(({'image': IMAGES}, LABELS))
    return data.repeat().batch(12)


def trained(directory, legs, **kwargs):
    for steps in legs:
        model = estimator.Estimator(stepping.model(**kwargs), str(directory))
        model.train(batches, steps=steps)
    return model


def values(model):
    return {n: model.get_variable_value(n) for n in model.get_variable_names()}


def test_evaluation_prediction_and_export_read_the_averages(tmp_path):
    kwargs = {'network': 'cnn', 'args': NORMED, 'optimizer': {'ema_decay': 0.9}}
    model = trained(tmp_path / 'run', [4], **kwargs)
    # The expected values: a model_fn without averages, with the averages as weights.
    found = values(model)
    with tf.Graph().as_default(), v1.Session() as session:
        v1.train.create_global_step()
        plain = stepping.model('cnn', NORMED)
        spec = plain({'image': tf.constant(IMAGES)}, None, 'infer')
        for variable in v1.global_variables():
            value = averages(found).get(variable.op.name, 0)
            variable.load(value, session)
        expected = session.run(spec.predictions['logits'])
    predicted = np.array(
        [p['logits'] for _, p in zip(LABELS, model.predict(batches), strict=False)]
    )
    np.testing.assert_allclose(predicted, expected, rtol=1e-4, atol=1e-5)
    shifted = expected - expected.max(1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    loss = -logs[np.arange(12), LABELS].mean()
    assert model.evaluate(batches, steps=1)['average_loss'] == pytest.approx(loss, 1e-4)

    def receiver():
        image = v1.placeholder(tf.uint8, (None, 8, 8, 3), name='image')
        return estimator.export.ServingInputReceiver({'image': image}, image)

    directory = model.export_saved_model(str(tmp_path / 'export'), receiver).decode()
    served = tf.saved_model.load(directory).signatures['serving_default']
    served = served(tf.constant(IMAGES))['logits']
    np.testing.assert_allclose(served, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.extended
def test_a_run_in_two_legs_is_the_unbroken_run(tmp_path):
    kwargs = {
        'network': 'cnn',
        'args': {**NORMED, 'dropout': 0.5},
        'optimizer': {'name': 'adam', 'ema_decay': 0.9},
    }
    whole = values(trained(tmp_path / 'whole', [4], **kwargs))
    stepping.same(whole, values(trained(tmp_path / 'halves', [2, 2], **kwargs)))


def test_frozen_variables_have_no_average(tmp_path):
    optimizer = {'ema_decay': 0.9, 'freeze': ('dense1',)}
    model = trained(tmp_path, [2], optimizer=optimizer)
    names = {n for n in model.get_variable_names() if n.endswith(SUFFIX)}
    assert names == {f'mlp/logits/{n}{SUFFIX}' for n in ('kernel', 'bias')}
    model.evaluate(batches, steps=1)
