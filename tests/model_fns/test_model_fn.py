"""make_model_fn in a bare Estimator: all three modes, resuming, errors."""

import glob

from estimator_clf.compat import estimator

import numpy as np
import pytest
import tensorflow as tf

from model_fns import (
    HeadSpec,
    ModelSpec,
    OptimizerSpec,
    RuntimeSpec,
    SettingError,
    make_model_fn,
    modes,
)
from tests.helpers.model_fns import model_fn_of

v1 = tf.compat.v1

RNG = np.random.default_rng(0)
# Bright images are of class 1.
IMAGES = RNG.integers(0, 128, (24, 8, 8, 3)).astype(np.uint8)
LABELS = np.arange(24, dtype=np.int32) % 2
IMAGES[LABELS == 1] += 100
KEYS = [f'{i}.png' for i in range(24)]
# Networks that learn less in a few steps are in test_networks.py.
CLASSIFIERS = ['cnn', 'linear', 'mlp']


def batches(repeat=True, batch=12):
    features = {'image': IMAGES, 'key': KEYS, 'other': np.zeros(24)}
    data = tf.data.Dataset.from_tensor_slices((features, LABELS))
    return (data.repeat() if repeat else data).batch(batch)


def once():
    # 10, 10 and 4: the last batch is short.
    return batches(repeat=False, batch=10)


def classifier(network='cnn', **kwargs):
    small = {'cnn': {'filters': (4, 4), 'kernel': 3, 'hidden': (8,)}}
    kwargs = {
        'num_classes': 2,
        'class_names': ['dark', 'bright'],
        'mean': (120.0, 121.0, 122.0),
        'stddev': 60.0,
        'network_args': small.get(network),
        'optimizer': OptimizerSpec('adam', 0.01),
        **kwargs,
    }
    return model_fn_of(network, **kwargs)


@pytest.mark.combinations
@pytest.mark.parametrize('network', CLASSIFIERS)
def test_every_network_trains_evaluates_and_predicts(network, tmp_path):
    slow = OptimizerSpec('adam', 1e-4)
    model = estimator.Estimator(classifier(network, optimizer=slow), str(tmp_path))
    model.train(batches, steps=1)
    before = model.evaluate(once)['average_loss']
    model.train(batches, steps=7)
    result = model.evaluate(once)
    assert result['average_loss'] < before
    assert result['global_step'] == 8
    predictions = list(model.predict(once))
    assert [p['key'].decode() for p in predictions] == KEYS
    right = np.mean([p['class_index'] for p in predictions] == LABELS)
    assert result['accuracy'] == pytest.approx(right)
    assert {n for p in predictions for n in p['classes']} == {b'dark', b'bright'}


def test_learns_separable_classes(tmp_path):
    model = estimator.Estimator(
        classifier('mlp', network_args={'hidden': (16,)}), str(tmp_path)
    )
    model.train(batches, steps=60)
    assert model.evaluate(once)['accuracy'] == 1.0


def test_linear_regression_finds_the_line(tmp_path):
    x = RNG.normal(size=(32, 2)).astype(np.float32)
    y = (x @ [2.0, -1.0] + 0.5).astype(np.float32)

    def line():
        return tf.data.Dataset.from_tensor_slices(({'x': x}, y)).repeat().batch(32)

    model_fn = make_model_fn('linear_regression', optimizer=OptimizerSpec('sgd', 0.3))
    model = estimator.Estimator(model_fn, str(tmp_path))
    model.train(line, steps=60)
    kernel = model.get_variable_value('linear_regression/y/kernel')
    np.testing.assert_allclose(kernel, [[2.0], [-1.0]], atol=1e-3)
    result = model.evaluate(line, steps=1)
    assert result['root_mean_squared_error'] < 1e-3
    predicted = next(model.predict(line))
    assert predicted['y'] == pytest.approx(y[0], abs=1e-3)


def test_moving_averages_move(tmp_path):
    args = {'filters': (4,), 'hidden': (), 'batch_norm': True}
    model = estimator.Estimator(classifier(network_args=args), str(tmp_path))
    model.train(batches, steps=2)
    assert np.abs(model.get_variable_value('cnn/norm1/moving_mean')).min() > 0
    assert (model.get_variable_value('cnn/norm1/moving_variance') != 1).all()


def test_evaluation_computes_in_eval_dtype():
    def types(mode):
        with tf.Graph().as_default() as graph:
            v1.train.create_global_step()
            images = {'image': tf.zeros((2, 8, 8, 3), tf.uint8)}
            model_fn = classifier('cnn', eval_dtype='bfloat16')
            model_fn(images, None if mode == 'infer' else tf.constant([0, 1]), mode)
            convolutions = [o for o in graph.get_operations() if o.type == 'Conv2D']
            return {op.outputs[0].dtype for op in convolutions}

    assert types('eval') == {tf.bfloat16}
    assert types('infer') == types('train') == {tf.float32}


def test_bfloat16_trains_on_float32_variables(tmp_path):
    args = {'filters': (4,), 'hidden': (8,), 'batch_norm': True}
    model_fn = classifier(network_args=args, compute_dtype='bfloat16')
    model = estimator.Estimator(model_fn, str(tmp_path))
    model.train(batches, steps=2)
    assert np.isfinite(model.evaluate(once)['average_loss'])
    for name in model.get_variable_names():
        if name.startswith('cnn/'):
            assert model.get_variable_value(name).dtype == np.float32


def trained(directory, legs, **kwargs):
    """Trains in legs, each resuming from the checkpoint of the one before."""
    args = {'hidden': (16,), 'dropout': 0.5}
    for steps in legs:
        config = estimator.RunConfig(
            # The seed of the graph must have no influence.
            tf_random_seed=int(RNG.integers(1000)),
            log_step_count_steps=None,
        )
        model = estimator.Estimator(
            classifier('mlp', network_args=args, **kwargs), str(directory), config
        )
        model.train(lambda: batches(batch=24), steps=steps)
    return {n: model.get_variable_value(n) for n in model.get_variable_names()}


def test_a_run_in_two_legs_is_the_unbroken_run(tmp_path):
    whole = trained(tmp_path / 'whole', [6])
    halves = trained(tmp_path / 'halves', [2, 4])
    other = trained(tmp_path / 'other', [6], seed=1)
    assert whole['global_step'] == 6
    for name, value in whole.items():
        np.testing.assert_array_equal(value, halves[name], err_msg=name)
    assert not np.array_equal(whole['mlp/dense1/kernel'], other['mlp/dense1/kernel'])


def tags(directory):
    found = set()
    for path in glob.glob(f'{directory}/events.out.tfevents.*'):
        for event in v1.train.summary_iterator(path):
            found |= {value.tag for value in event.summary.value}
    return found


def test_training_and_evaluation_curves_have_the_same_tags(tmp_path):
    model = estimator.Estimator(classifier('linear'), str(tmp_path))
    model.train(batches, steps=2)
    model.evaluate(once)
    shared = {'loss', 'accuracy'}
    assert shared <= tags(tmp_path)
    assert shared <= tags(tmp_path / 'eval')
    assert 'learning_rate' in tags(tmp_path)
    assert not [tag for tag in tags(tmp_path) if tag.endswith('_1')]


def test_pixels_are_normalized(tmp_path):
    received = []

    def spy(net, images, num_classes, *, units=3):
        assert units == 4
        received.append(images)
        return net.dense('d', net.flatten(images), num_classes)

    model_fn = classifier(spy, network_args={'units': 4})
    with tf.Graph().as_default(), v1.Session() as session:
        spec = model_fn({'image': tf.constant(IMAGES)}, None, 'infer')
        assert set(spec.predictions) >= {'classes', 'scores'}
        value = session.run(received[0])
        assert v1.global_variables()[0].op.name == 'spy/d/kernel'
    expected = (IMAGES - np.array([120.0, 121.0, 122.0])) / 60.0
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


def test_exports_with_a_batch_of_unknown_size(tmp_path):
    model = estimator.Estimator(classifier(), str(tmp_path / 'run'))
    model.train(batches, steps=1)

    def receiver():
        image = v1.placeholder(tf.uint8, (None, 8, 8, 3), name='image')
        return estimator.export.ServingInputReceiver({'image': image}, image)

    directory = model.export_saved_model(str(tmp_path / 'export'), receiver)
    serve = tf.saved_model.load(directory.decode()).signatures['serving_default']
    served = serve(tf.constant(IMAGES[:5]))
    assert 'key' not in served
    predictions = list(model.predict(once))[:5]
    for name in ('classes', 'class_index'):
        expected = np.array([p[name] for p in predictions])
        np.testing.assert_array_equal(served[name].numpy(), expected)
    expected = np.array([p['logits'] for p in predictions])
    np.testing.assert_allclose(served['logits'], expected, rtol=1e-4, atol=1e-5)


def test_wrong_arguments_are_refused_at_once():
    with pytest.raises(SettingError, match="did you mean 'cnn'"):
        make_model_fn('cn')
    with pytest.raises(SettingError, match="did you mean 'kernel'"):
        ModelSpec('cnn', {'kernl': 3}, num_classes=2)
    with pytest.raises(SettingError, match="did you mean 'bfloat16'"):
        RuntimeSpec(compute_dtype='bfloat61')
    with pytest.raises(SettingError, match='`num_classes` must be at least 2'):
        make_model_fn(ModelSpec('cnn', num_classes=1))
    with pytest.raises(SettingError, match='`label_smoothing`'):
        HeadSpec(label_smoothing=2.0)


def build(images, model_fn=None, **features):
    model_fn = model_fn or make_model_fn(ModelSpec('cnn', num_classes=2))
    with tf.Graph().as_default():
        model_fn({'image': images(), **features}, None, 'infer')


def test_unusable_features_are_refused():
    with pytest.raises(SettingError, match='at least 4x4 pixels, got 2x9'):
        build(lambda: tf.zeros((1, 2, 9, 3)))
    with pytest.raises(ValueError, match='H, W and C known'):
        build(lambda: v1.placeholder(tf.uint8, (None, None, None, 3)))
    with tf.Graph().as_default(), pytest.raises(ValueError, match="dict with 'image'"):
        make_model_fn(ModelSpec('cnn', num_classes=2))({'photo': 0}, None, 'infer')
    with tf.Graph().as_default(), pytest.raises(ValueError, match="dict with 'x'"):
        make_model_fn('linear_regression')({'photo': 0}, None, 'infer')


def test_keras_3_layers_are_refused():
    keras = pytest.importorskip('keras')
    if not keras.__version__.startswith('3.'):
        pytest.skip(f'Keras {keras.__version__} works inside an Estimator')

    def network(net, images, num_classes):
        x = keras.layers.BatchNormalization()(images, training=net.training)
        return net.dense('d', net.flatten(x), num_classes)

    with pytest.raises(SettingError, match='Keras 3'):
        build(
            lambda: tf.zeros((1, 4, 4, 3)),
            make_model_fn(ModelSpec(network, num_classes=2)),
        )


def context(**kwargs):
    return classifier(**kwargs).context


def test_modes_can_be_built_alone():
    for make in (
        lambda images, labels: modes.train(context(), images, labels),
        lambda images, labels: modes.evaluate(context(), images, labels),
        lambda images, labels: modes.predict(context(), images),
    ):
        with tf.Graph().as_default():
            v1.train.create_global_step()
            images = {'image': tf.constant(IMAGES), 'key': tf.constant(KEYS)}
            spec = make(images, tf.constant(LABELS))
            assert bool(spec.train_op is not None) == (spec.mode == 'train')
            assert bool(spec.eval_metric_ops) == (spec.mode == 'eval')
            assert bool(spec.predictions) == (spec.mode == 'infer')


def test_a_frozen_backbone_replaces_its_layers():
    optimizer = OptimizerSpec('sgd', train_only=('logits',))
    made = context(optimizer=optimizer)
    with tf.Graph().as_default():
        features = modes.frozen_backbone(made, {'image': tf.constant(IMAGES)}, True)
        assert features.shape == (24, 8)
    with tf.Graph().as_default() as graph:
        v1.train.create_global_step()
        inputs = {
            'features': tf.zeros((24, 8)),
            'no_image': tf.zeros((24, 8, 8, 3), tf.uint8),
        }
        spec = modes.train(made, inputs, tf.constant(LABELS))
        assert {v.op.name for v in v1.trainable_variables()} >= {'cnn/conv1/kernel'}
        with v1.Session(graph=graph) as session:
            session.run(v1.global_variables_initializer())
            assert np.isfinite(session.run([spec.loss, spec.train_op])[0])


def test_frozen_backbone_requires_a_classifier():
    with pytest.raises(SettingError, match='requires a classifier'):
        make_model_fn('linear_regression').frozen_backbone({}, True)


@pytest.mark.parametrize(
    'settings, argument',
    [
        ({'eval_samples': 2}, 'eval_samples'),
        ({'eval_views': (True, 0)}, 'eval_tta'),
        ({'hard_example_fraction': 0.5, 'proxy': 'linear'}, 'hard_example_fraction'),
    ],
)
def test_settings_of_classifiers_are_refused_for_a_regression(settings, argument):
    with pytest.raises(SettingError, match=f'`{argument}` requires a classifier'):
        make_model_fn('linear_regression', HeadSpec(**settings))
