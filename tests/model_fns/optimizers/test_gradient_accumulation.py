"""Micro-batches, and compiled steps, are equal to the whole batch."""

from estimator_clf.compat import estimator

import numpy as np
import pytest
import tensorflow as tf

from model_fns import ModelSpec, OptimizerSpec, RuntimeSpec, SettingError, make_model_fn
from tests.helpers import stepping
from tests.helpers.stepping import IMAGES, LABELS

v1 = tf.compat.v1

MIXED = np.random.default_rng(1).dirichlet(np.ones(3), 12).astype(np.float32)
CASES = {
    'plain': {},
    'weighted': {'class_weights': (1.0, 5.0, 0.25)},
    'mixed': {'class_weights': (1.0, 5.0, 0.25), 'labels': MIXED},
    'smoothed': {'label_smoothing': 0.1, 'optimizer': {'clip_norm': 0.1}},
    'adam': {'optimizer': {'name': 'adam', 'weight_decay': 0.1, 'ema_decay': 0.9}},
}


@pytest.mark.combinations
@pytest.mark.parametrize('case', CASES)
def test_microbatches_add_up_to_the_batch(case):
    kwargs = dict(CASES[case])
    labels = kwargs.pop('labels', LABELS)
    kwargs = {'network': 'cnn', **kwargs}
    whole, one = stepping.train(stepping.model(**kwargs), 3, labels=labels)
    model_fn = stepping.model(**kwargs, gradient_accumulation_steps=4)
    split, several = stepping.train(model_fn, 3, labels=labels)
    stepping.close(whole[3], split[3], rtol=1e-4, atol=2e-6)
    for a, b in zip(one, several, strict=True):
        stepping.close(a, b, rtol=1e-5)


def test_microbatches_of_a_regression_add_up_to_the_batch():
    def run(steps):
        with tf.Graph().as_default(), v1.Session() as session:
            x = tf.constant(np.arange(12, dtype=np.float32).reshape(6, 2))
            model_fn = make_model_fn(
                'linear_regression',
                optimizer=OptimizerSpec('sgd', 0.001),
                runtime=RuntimeSpec(gradient_accumulation_steps=steps),
            )
            spec = model_fn({'x': x}, tf.reduce_sum(x, 1), 'train')
            session.run(v1.global_variables_initializer())
            losses = [session.run([spec.loss, spec.train_op])[0] for _ in range(3)]
            return [*losses, *session.run(v1.trainable_variables()[0])[:, 0]]

    np.testing.assert_allclose(run(3), run(1), rtol=1e-5)


def test_batch_norm_normalizes_each_microbatch():
    """One step against the moving averages of the micro-batches, in NumPy."""
    model_fn = stepping.model(
        'cnn', {'batch_norm': True}, gradient_accumulation_steps=3
    )
    states, _ = stepping.train(model_fn, 1)
    x = (IMAGES.astype(np.float64) - 127) / 70
    kernel = tf.constant(states[0]['cnn/conv1/kernel'])
    y = tf.nn.conv2d(tf.constant(x, tf.float32), kernel, 1, 'SAME').numpy()
    mean, old = np.zeros(4), 0.99 ** (1 / 3)
    for microbatch in np.split(y, 3):
        mean = old * mean + (1 - old) * microbatch.mean((0, 1, 2))
    np.testing.assert_allclose(
        states[1]['cnn/norm1/moving_mean'], mean, rtol=1e-4, atol=1e-7
    )


def test_microbatches_drop_different_units():
    # Each image once per micro-batch: with one mask, both would have the same loss.
    images, labels = np.concatenate([IMAGES[:6]] * 2), np.concatenate([LABELS[:6]] * 2)
    args = {'args': {'dropout': 0.5}}
    whole = stepping.train(stepping.model(**args), 1, None, images[:6], labels[:6])
    both = stepping.model(**args, gradient_accumulation_steps=2)
    both = stepping.train(both, 1, None, images, labels)
    assert whole[1][0]['loss'] != pytest.approx(both[1][0]['loss'], rel=1e-3)


def ancestors(op):
    found, todo = set(), [op]
    while todo:
        for other in [t.op for t in todo[-1].inputs] + todo.pop().control_inputs:
            if other not in found:
                found.add(other)
                todo.append(other)
    return found


def test_a_microbatch_waits_for_the_gradients_of_the_one_before():
    with tf.Graph().as_default() as graph:
        v1.train.create_global_step()
        model_fn = stepping.model('cnn', gradient_accumulation_steps=3)
        model_fn({'image': tf.constant(IMAGES)}, tf.constant(LABELS), 'train')
        forward = [op for op in graph.get_operations() if op.type == 'Conv2D']
        backward = [
            op for op in graph.get_operations() if op.type == 'Conv2DBackpropFilter'
        ]
        assert len(forward) == len(backward) == 3
        for n in (0, 1):
            assert backward[n] in ancestors(forward[n + 1])
            assert forward[n + 1] not in ancestors(backward[n])


def test_a_batch_that_cannot_be_split_evenly_is_refused():
    with pytest.raises(SettingError, match='must divide the 12 examples .* got 5'):
        stepping.train(stepping.model(gradient_accumulation_steps=5), 0)
    with pytest.raises(
        SettingError, match='`gradient_accumulation_steps` must be at least 1'
    ):
        stepping.model(gradient_accumulation_steps=0)


def test_a_network_that_does_not_share_its_variables_is_refused():
    def network(net, images, num_classes):
        return net.flatten(images) @ tf.Variable(tf.zeros((192, num_classes)))

    model_fn = make_model_fn(
        ModelSpec(network, num_classes=3),
        runtime=RuntimeSpec(gradient_accumulation_steps=2),
    )
    with pytest.raises(
        SettingError, match='`gradient_accumulation_steps` builds the network'
    ):
        stepping.train(model_fn, 0)


@pytest.mark.combinations
@pytest.mark.parametrize('steps', [1, 2])
def test_compiled_steps_equal_the_others(steps):
    kwargs = {
        'network': 'cnn',
        'args': {'batch_norm': True, 'dropout': 0.5},
        'optimizer': {'name': 'adam', 'ema_decay': 0.9, 'freeze': ('dense1/bias',)},
        'class_weights': (1.0, 5.0, 0.25),
        'gradient_accumulation_steps': steps,
    }
    plain, one = stepping.train(stepping.model(**kwargs), 3)
    compiled, other = stepping.train(stepping.model(**kwargs, xla=True), 3)
    stepping.close(plain[3], compiled[3], rtol=1e-3, atol=2e-5)
    for a, b in zip(one, other, strict=True):
        stepping.close(a, b, rtol=1e-4)


def test_a_compiled_float16_step_equals_the_other():
    kwargs = {'network': 'cnn', 'compute_dtype': 'float16'}
    plain, _ = stepping.train(stepping.model(**kwargs), 2)
    compiled, _ = stepping.train(stepping.model(**kwargs, xla=True), 2)
    stepping.close(plain[2], compiled[2], rtol=2e-2, atol=1e-3)


def test_only_training_is_compiled():
    def compiled(mode):
        with tf.Graph().as_default() as graph:
            v1.train.create_global_step()
            images = {'image': tf.constant(IMAGES)}
            stepping.model(xla=True)(images, tf.constant(LABELS), mode)
            return [
                op
                for op in graph.get_operations()
                if '_XlaMustCompile' in op.node_def.attr
            ]

    assert len(compiled('train')) == 1
    assert not compiled('eval') and not compiled('infer')


def test_xla_is_refused_without_xla_in_tensorflow(monkeypatch):
    monkeypatch.setattr(tf.test, 'is_built_with_xla', lambda: False)
    with pytest.raises(SettingError, match='was built without XLA'):
        stepping.train(stepping.model(xla=True), 0)


@pytest.mark.extended
@pytest.mark.parametrize('xla', [False, True])
def test_a_run_in_two_legs_is_the_unbroken_run(xla, tmp_path):
    def data():
        pairs = ({'image': IMAGES}, LABELS)
        return tf.data.Dataset.from_tensor_slices(pairs).repeat().batch(12)

    def values(directory, legs):
        model_fn = stepping.model(
            'cnn',
            {'batch_norm': True, 'dropout': 0.5},
            gradient_accumulation_steps=2,
            xla=xla,
        )
        for steps in legs:
            model = estimator.Estimator(model_fn, str(tmp_path / directory))
            model.train(data, steps=steps)
        model.evaluate(data, steps=1)
        return {n: model.get_variable_value(n) for n in model.get_variable_names()}

    stepping.same(values('whole', [2]), values('legs', [1, 1]))
