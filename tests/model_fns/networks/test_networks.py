"""Registered networks: building at all image sizes, training, published shapes."""

import os

from estimator_clf.compat import estimator

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.core.errors import SettingError
from model_fns import OptimizerSpec, registry
from model_fns.layers.layer_builder import LayerBuilder
from tests.helpers.model_fns import model_fn_of
from tests.helpers.small_networks import CLASSIFIERS, LEAST, SMALL, needs_keras

v1 = tf.compat.v1

SIZES = [(8, 8, 1), (28, 28, 1), (33, 17, 3), (128, 128, 3)]

# Deep networks, which build for seconds.
LONG = ('pretrained', 'resnet')


def _builds(name, shape):
    # The largest size replaces the middle ones for networks with a larger minimum.
    usual = (8, 8, 1), (128, 128, 3) if LEAST.get(name, 0) > 9 else (33, 17, 3)
    name_it = f'{name}-{"x".join(map(str, shape))}'
    marks = [pytest.mark.slow][: shape not in usual]
    return pytest.param(name, shape, marks=marks, id=name_it)


@pytest.mark.extended
@pytest.mark.parametrize(
    'name, shape', [_builds(name, shape) for name in CLASSIFIERS for shape in SIZES]
)
def test_builds_at_every_size_with_a_batch_of_unknown_size(name, shape):
    needs_keras(name)
    # Deep networks build for seconds.
    args = {'resnet': {'depth': 18}, 'resnet_cifar': {'depth': 8}}
    args = {**args, 'pretrained': SMALL['pretrained']}.get(name, {})
    # Built, not run: at 128x128 some dense layers need too much memory.
    with tf.Graph().as_default():
        images = v1.placeholder(tf.float32, (None, *shape))
        if min(shape[:2]) < LEAST.get(name, 0):
            with pytest.raises(SettingError, match='at least'):
                registry.get(name)(LayerBuilder(True), images, 7, **args)
            return
        logits = registry.get(name)(LayerBuilder(True), images, 7, **args)
        assert logits.shape.as_list() == [None, 7]
        gradients = tf.gradients(logits, v1.trainable_variables())
        assert gradients and all(g is not None for g in gradients)


@pytest.mark.extended
# The slow networks have no other layers in bfloat16.
@pytest.mark.parametrize(
    'name, dtype',
    [(name, 'float32') for name in CLASSIFIERS]
    + [
        pytest.param(name, 'bfloat16', marks=[pytest.mark.slow][: name in LONG])
        for name in CLASSIFIERS
    ],
)
def test_trains_a_step_evaluates_predicts_and_exports(name, dtype, tmp_path):
    needs_keras(name)
    size = LEAST.get(name, 8)
    images = np.random.default_rng(0).integers(0, 256, (4, size, size, 3))
    images, labels = images.astype(np.uint8), np.arange(4, dtype=np.int32) % 3

    def batches():
        return tf.data.Dataset.from_tensor_slices(({'image': images}, labels)).batch(4)

    model_fn = model_fn_of(
        name,
        num_classes=3,
        mean=127.0,
        stddev=74.0,
        network_args=SMALL.get(name),
        optimizer=OptimizerSpec('momentum', 0.001),
        compute_dtype=dtype,
    )
    model = estimator.Estimator(model_fn, str(tmp_path))
    model.train(batches, steps=1)
    assert np.isfinite(model.evaluate(batches)['average_loss'])
    predicted = [p['probabilities'] for p in model.predict(batches)]

    def receiver():
        inputs = {'image': v1.placeholder(tf.uint8, (None, size, size, 3))}
        return estimator.export.ServingInputReceiver(inputs, inputs)

    directory = model.export_saved_model(str(tmp_path / 'export'), receiver)
    served = tf.saved_model.load(os.fsdecode(directory)).signatures['serving_default']
    found = served(image=tf.constant(images))['probabilities']
    np.testing.assert_allclose(found, predicted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    'settings, number',
    [
        # Without the 288 whitening weights, which are not trained.
        (
            {'whiten_bias': True},
            24 + 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256) + 2 * 576 + 2560,
        ),
        (
            {'widths': (128, 384, 512), 'depth': 3, 'residual': True},
            9 * (24 * 128 + 2 * 128**2 + 128 * 384 + 2 * 384**2 + 384 * 512)
            + 9 * 2 * 512**2
            + 3 * (128 + 384 + 512)
            + 5120,
        ),
    ],
)
def test_airbench_has_the_published_weights(settings, number):
    assert weights('airbench', *CIFAR, **settings)[0] == number


def test_airbench_starts_with_identity_convolutions():
    with tf.Graph().as_default(), v1.Session() as session:
        build = registry.get('airbench')
        build(LayerBuilder(True), tf.zeros((1, 9, 9, 3)), 3, widths=(32, 4), depth=2)
        session.run(v1.global_variables_initializer())
        kernels = {
            v.op.name.removesuffix('/kernel'): session.run(v)
            for v in v1.global_variables()
            if v.op.name.startswith('group')
        }
    wider, narrower = kernels['group1/conv1'], kernels['group2/conv1']
    for kernel, count in ((wider, 24), (narrower, 4)):
        identity = np.zeros_like(kernel[..., :count])
        identity[1, 1, range(count), range(count)] = 1
        np.testing.assert_array_equal(kernel[..., :count], identity)
    # The variance of PyTorch's layers.
    assert wider[..., 24:].var() == pytest.approx(1 / (3 * 9 * 24), rel=0.1)


def test_airbench_refuses_invalid_options():
    for settings in ({'depth': 0}, {'widths': ()}, {'depth': 1, 'residual': True}):
        with pytest.raises(SettingError, match='airbench'):
            variables('airbench', (32, 32, 3), **settings)
    for settings in ({'norm_momentum': -0.5}, {'logit_divisor': 0.0}):
        with pytest.raises(SettingError, match='norm_momentum must be at least 0'):
            variables('airbench', (32, 32, 3), **settings)


def test_airbench_trains_its_first_bias_only_with_whiten_bias():
    for trains_bias in (False, True):
        with tf.Graph().as_default():
            images = tf.zeros((1, 9, 9, 3))
            registry.get('airbench')(
                LayerBuilder(True), images, 3, whiten_bias=trains_bias
            )
            trained = {v.op.name for v in v1.trainable_variables()}
        assert ('whiten/bias' in trained) == trains_bias
        assert 'whiten/kernel' not in trained


def test_linear_starts_at_zero():
    with tf.Graph().as_default(), v1.Session() as session:
        logits = registry.get('linear')(LayerBuilder(True), tf.ones((1, 2, 2, 1)), 3)
        session.run(v1.global_variables_initializer())
        np.testing.assert_array_equal(session.run(logits), np.zeros((1, 3)))


def variables(name, shape=(8, 8, 1), **settings):
    with tf.Graph().as_default():
        registry.get(name)(LayerBuilder(True), tf.zeros((1, *shape)), 3, **settings)
        return {v.op.name: v.shape.as_list() for v in v1.global_variables()}


def test_settings_change_the_network():
    assert variables('mlp', hidden=(5,)) == {
        'dense1/kernel': [64, 5],
        'dense1/bias': [5],
        'logits/kernel': [5, 3],
        'logits/bias': [3],
    }
    assert set(variables('mlp', hidden=())) == {'logits/kernel', 'logits/bias'}
    found = variables('cnn', filters=(4,), kernel=3, hidden=(6,), batch_norm=True)
    assert found['conv1/kernel'] == [3, 3, 1, 4]
    assert found['dense1/kernel'] == [4 * 4 * 4, 6]
    assert 'norm1/moving_mean' in found
    assert 'conv1/bias' not in found, 'batch normalization has its own'


@pytest.mark.parametrize(
    'shape, convolutions, features',
    [
        ((28, 28, 1), 2, 7 * 7 * 64),
        ((32, 32, 3), 2, 8 * 8 * 64),
        ((64, 64, 3), 3, 8 * 8 * 64),
        ((224, 160, 3), 5, 7 * 5 * 64),
        ((8, 200, 3), 3, 1 * 25 * 64),
        ((4, 4, 1), 2, 64),
    ],
)
def test_cnn_has_more_convolutions_for_larger_images(shape, convolutions, features):
    found = variables('cnn', shape)
    assert sum(name.endswith('/kernel') for name in found) == convolutions + 2
    assert found['dense1/kernel'] == [features, 1024]
    given = variables('cnn', shape, filters=(32, 64), hidden=())
    assert sum(name.endswith('/kernel') for name in given) == 3


def test_cnn_refuses_images_too_small_for_its_poolings():
    with pytest.raises(SettingError) as e:
        variables('cnn', shape=(3, 8, 1))
    assert 'at least 4x4 pixels, got 3x8' in str(e.value)
    variables('cnn', shape=(4, 4, 1))


def test_invalid_values_of_options_are_refused():
    with pytest.raises(SettingError, match='dropout rate'):
        variables('mlp', dropout=1.5)
    with pytest.raises(SettingError, match="did you mean 'relu'"):
        variables('cnn', activation='relux')
    with pytest.raises(SettingError, match='filters must be at least 1'):
        variables('cnn', filters=(0,))


@pytest.mark.parametrize('shape', [(5,), (5, 3)])
def test_linear_regression(shape):
    with tf.Graph().as_default():
        y = registry.get('linear_regression')(LayerBuilder(True), tf.zeros(shape), 1)
        assert y.shape.as_list() == [5, 1]


def weights(name, shape, classes, **settings):
    """Counts all weights and those of the first layer, without allocating them."""
    with tf.Graph().as_default():
        images = v1.placeholder(tf.float32, (None, *shape))
        registry.get(name)(LayerBuilder(True), images, classes, **settings)
        found = {v.op.name: v.shape for v in v1.trainable_variables()}
    first = sum(s.num_elements() for n, s in found.items() if n.startswith('conv1/'))
    return sum(s.num_elements() for s in found.values()), first


IMAGENET, CIFAR = ((224, 224, 3), 1000), ((32, 32, 3), 10)


@pytest.mark.extended
@pytest.mark.parametrize(
    'name, settings, data, published, digits',
    [
        # Two groups; 60,965,224 is the number in Caffe's model zoo.
        ('alexnet', {}, IMAGENET, 60_965_224, 0),
        ('alexnet', {'groups': 1}, IMAGENET, 62_378_344, 0),
        # The CIFAR-10 tutorial, on its crops of 24x24.
        ('deep_cnn', {}, ((24, 24, 3), 10), 1_068_298, 0),
        # He et al., 2016, table 6.
        ('resnet_cifar', {'depth': 20}, CIFAR, 0.27e6, -4),
        ('resnet_cifar', {'depth': 32}, CIFAR, 0.46e6, -4),
        ('resnet_cifar', {'depth': 44}, CIFAR, 0.66e6, -4),
        ('resnet_cifar', {'depth': 56}, CIFAR, 0.85e6, -4),
        # From torchvision's documentation of resnet18, resnet34 and resnet50.
        ('resnet', {'depth': 18}, IMAGENET, 11_689_512, 0),
        ('resnet', {'depth': 34}, IMAGENET, 21_797_672, 0),
        ('resnet', {'depth': 50}, IMAGENET, 25_557_032, 0),
    ],
)
def test_as_many_weights_as_published(name, settings, data, published, digits):
    assert round(weights(name, *data, **settings)[0], digits) == round(published)


def test_first_layers():
    assert weights('alexnet', *IMAGENET)[1] == 34_944
    assert weights('alexnet', *IMAGENET, groups=1)[1] == 34_944
    assert weights('resnet', *IMAGENET, depth=18)[1] == 7 * 7 * 3 * 64 + 2 * 64


def activations(name, shape, **settings):
    """Returns the outputs of convolutions and poolings, in order: [(op, H, W, C)]."""
    with tf.Graph().as_default() as graph:
        images = v1.placeholder(tf.float32, (None, *shape))
        registry.get(name)(LayerBuilder(False), images, 10, **settings)
        ops = [op for op in graph.get_operations() if op.type in ('Conv2D', 'MaxPool')]
        return [(op.type, *op.outputs[0].shape.as_list()[1:]) for op in ops]


def test_alexnet_has_the_published_shapes():
    assert activations('alexnet', (224, 224, 3), groups=1) == [
        ('Conv2D', 55, 55, 96),
        ('MaxPool', 27, 27, 96),
        ('Conv2D', 27, 27, 256),
        ('MaxPool', 13, 13, 256),
        ('Conv2D', 13, 13, 384),
        ('Conv2D', 13, 13, 384),
        ('Conv2D', 13, 13, 256),
        ('MaxPool', 6, 6, 256),
    ]


def test_the_two_halves_of_alexnet_meet_in_the_third_convolution():
    found = variables('alexnet', (64, 64, 3))
    shapes = [found[f'conv{i}/kernel'][2] for i in range(1, 6)]
    assert shapes == [3, 48, 256, 192, 192]


@pytest.mark.combinations
@pytest.mark.parametrize(
    'shape, settings, sizes',
    [
        # Graham, 2014, sections 4.1 and 4.2: 36x36 and 94x94 pixels.
        ((28, 28, 1), {}, [36, 25, 17, 11, 7, 4]),
        (
            (32, 32, 3),
            {'ratio': 'cbrt2', 'poolings': 12, 'filters': 64, 'dropout': 0.5},
            [94, 74, 58, 45, 35, 27, 21, 16, 12, 9, 6, 4],
        ),
        # The fewest poolings that fit the image.
        ((36, 20, 3), {}, [36, 25, 17, 11, 7, 4]),
        ((37, 20, 3), {}, [52, 36, 25, 17, 11, 7, 4]),
    ],
)
def test_fmp_has_the_published_shapes(shape, settings, sizes):
    # Each 2x2 convolution removes a pixel; after the poolings there are 2.
    filters = settings.get('filters', 32)
    expected = [size - 1 for size in sizes] + [1, 1]
    found = activations('fmp', shape, **settings)
    assert [height for _, height, _, _ in found] == expected
    assert all(height == width for _, height, width, _ in found)
    assert [c for *_, c in found] == [filters * i for i in range(1, len(sizes) + 3)]


def test_fmp_dropout_increases_from_layer_to_layer():
    rates = []

    class Recording(LayerBuilder):
        def dropout(self, name, x, rate):
            rates.append(rate)
            return super().dropout(name, x, rate)

    with tf.Graph().as_default():
        v1.train.get_or_create_global_step()
        registry.get('fmp')(Recording(True), tf.zeros((1, 7, 7, 1)), 3, dropout=0.5)
    np.testing.assert_allclose(rates, [0, 0.125, 0.25, 0.375, 0.5])


def test_fmp_refuses_invalid_options():
    with pytest.raises(SettingError, match='start at 7x7 pixels'):
        variables('fmp', poolings=2)
    with pytest.raises(SettingError, match="did you mean 'cbrt2'"):
        variables('fmp', ratio='cbrt')


@pytest.mark.extended
def test_residual_blocks_can_start_as_their_shortcuts():
    cases = (('resnet', 18, (True,)), ('resnet_cifar', 8, (True, False)))
    for name, depth, settings in cases:
        for zero in settings:
            with tf.Graph().as_default(), v1.Session() as session:
                images = tf.zeros((1, 8, 8, 3))
                build = registry.get(name)
                build(LayerBuilder(True), images, 3, depth=depth, zero_gamma=zero)
                session.run(v1.global_variables_initializer())
                gammas = {
                    v.op.name: session.run(v)[0]
                    for v in v1.global_variables()
                    if v.op.name.endswith('gamma')
                }
            zeros = {n for n, value in gammas.items() if value == 0}
            last = {n for n in gammas if n.endswith('conv2/norm/gamma')}
            assert zeros == (last if zero else set()) and last < set(gammas)


def test_unsupported_depths_are_refused():
    with pytest.raises(SettingError, match='6 n [+] 2, got 21'):
        variables('resnet_cifar', depth=21)
    with pytest.raises(SettingError, match='18, 34, 50, 101, 152, got 20'):
        variables('resnet', depth=20)


def test_shortcut_of_a_small_resnet_subsamples_and_fills_with_zeros():
    # With all weights at 0 except those of the first convolution, the output is that
    # of the shortcuts.
    images = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype(np.float32)
    recorded = {}

    class Recording(LayerBuilder):
        def global_average_pool(self, x):
            recorded['last'] = x
            return super().global_average_pool(x)

        def batch_norm(self, name, x, *args):
            y = super().batch_norm(name, x, *args)
            recorded.setdefault('first', y)
            return y

    with tf.Graph().as_default(), v1.Session() as session:
        build = registry.get('resnet_cifar')
        net = Recording(False)
        build(net, tf.constant(images), 3, depth=8, filters=4, zero_gamma=True)
        session.run(v1.global_variables_initializer())
        first, last = session.run([tf.nn.relu(recorded['first']), recorded['last']])
    assert last.shape == (1, 2, 2, 16)
    # Twice every second pixel; 2 zeros on each side, then 4.
    np.testing.assert_allclose(last[..., 6:10], first[:, ::4, ::4], rtol=1e-6)
    assert not last[..., :6].any() and not last[..., 10:].any()
