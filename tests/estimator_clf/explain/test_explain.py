"""Tests of explanations: gradients, attributions, occlusion, dreams, figures, files."""

import io
import os
import re
import types

from estimator_clf.compat import estimator

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from estimator_clf.core.errors import ConfigError, RunError
from estimator_clf.explain import (
    activation_maximization,
    deepdream,
    image_figures,
    occlusion,
    render,
    saliency,
    weight_images,
)
from estimator_clf.explain.explainer import Explainer
from estimator_clf.explain.images import (
    DecodedImage,
    decode_full_size,
    load_images,
    sample_examples,
)
from estimator_clf.explain.options import ExplainOptions
from input.corrupt_images import CorruptImages
from input.dataset_info import DatasetInfo
from input.formats.arrays import from_arrays
from input.images.batch_decoder import BatchDecoder
from model_fns import ModelSpec, OptimizerSpec, make_model_fn
from tests.helpers.model_fns import model_fn_of
from tests.helpers.small_run import NAMES, events, source

v1 = tf.compat.v1

#: Network -> its settings here, and the shape of the images.
NETWORKS = {
    'linear': ({}, (8, 8, 1)),
    'mlp': ({'hidden': (6,), 'activation': 'gelu'}, (8, 8, 1)),
    'cnn': ({'filters': (4, 6), 'kernel': 3, 'hidden': (8,)}, (8, 8, 3)),
    'deep_cnn': ({'filters': (4, 4), 'hidden': (8, 6)}, (16, 16, 3)),
    'resnet_cifar': ({'depth': 8, 'filters': 4}, (8, 8, 3)),
    'fmp': ({'filters': 2}, (6, 5, 1)),
    'alexnet_small': ({'filters': (4, 4, 4, 4, 4), 'hidden': (8, 8)}, (16, 16, 3)),
}


def network(directory, name, args=None, shape=(8, 8, 1), **settings):
    """Returns an `Explainer` of a network with its initial weights."""
    info = DatasetInfo(
        name='none',
        class_names=NAMES,
        image_shape=shape,
        num_examples={'train': 1},
        mean=[100.0] * shape[2],
        stddev=[50.0] * shape[2],
    )
    model_fn = model_fn_of(
        name,
        num_classes=3,
        class_names=NAMES,
        mean=info.mean,
        stddev=info.stddev,
        network_args=args,
        **settings,
    )
    with tf.Graph().as_default(), v1.Session() as session:
        v1.train.create_global_step()
        images = v1.placeholder(tf.uint8, [None, *shape])
        model_fn({'image': images}, None, estimator.ModeKeys.PREDICT)
        session.run(v1.global_variables_initializer())
        path = v1.train.Saver().save(session, str(directory / 'model.ckpt'))
    return Explainer(model_fn, path, info)


@pytest.fixture(scope='module')
def cnn(tmp_path_factory):
    """A small network with random weights."""
    directory = tmp_path_factory.mktemp('cnn')
    explainer = network(directory, 'cnn', *NETWORKS['cnn'])
    yield explainer
    explainer.close()


def noise(shape, count=1, seed=0):
    """Returns float32 [count, *shape]: random images with integer values."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, *shape)).astype(np.float32)


def trained(directory, data, steps, network='linear', **settings):
    """Trains a bare Estimator; returns its model_fn and checkpoint."""
    model_fn = make_model_fn(
        ModelSpec(
            network,
            num_classes=data.info.num_classes,
            class_names=data.info.class_names,
            mean=data.info.mean,
            stddev=data.info.stddev,
        ),
        optimizer=OptimizerSpec(name='adam', learning_rate=0.02, **settings),
    )
    classifier = estimator.Estimator(model_fn, str(directory))
    classifier.train(data.input_fn('train', 9, training=True), max_steps=steps)
    return model_fn, classifier.latest_checkpoint()


@pytest.mark.extended
@pytest.mark.parametrize('name', NETWORKS)
def test_all_networks_have_all_default_figures(name, tmp_path):
    args, shape = NETWORKS[name]
    explainer = network(tmp_path, name, args, shape)
    pixels = noise(shape, 2)
    images = [
        DecodedImage(f'{i}.png', image, i, _png(image))
        for i, image in enumerate(pixels)
    ]
    options = ExplainOptions(steps=2, patch=shape[0] // 2, dream_size=20)
    kinds = [*render.default_kinds(explainer), 'dream']
    made = list(
        render.write_figures(explainer, kinds, options, images, str(tmp_path), 7)
    )
    assert [figure.name for _, figure in made][:4] == [
        'weights' if name in ('linear', 'mlp') else 'filters',
        'saliency',
        'occlusion',
        'maximize-classes',
    ]
    for path, _ in made:
        with Image.open(path) as image:
            assert image.format == 'PNG' and image.mode == 'RGB'
            image.load()
            grays = image.convert('L').getcolors()
            assert len(grays) > 60  # It shows more than a title.
    explainer.close()


def test_layers_are_named_after_their_variables(cnn):
    shapes = {name: tuple(layer.tensor.shape[1:]) for name, layer in cnn.layers.items()}
    assert shapes == {
        'conv1': (8, 8, 4),
        'conv1/relu': (8, 8, 4),
        'conv1/pool': (4, 4, 4),
        'conv2': (4, 4, 6),
        'conv2/relu': (4, 4, 6),
        'conv2/pool': (2, 2, 6),
        'dense1': (8,),
        'dense1/relu': (8,),
        'logits': (3,),
    }


def test_blocks_and_composite_activations_are_layers(tmp_path):
    resnet = network(tmp_path, 'resnet_cifar', *NETWORKS['resnet_cifar'])
    assert {
        'stage2/block1/conv1',
        'stage2/block1/conv2/norm',
        'stage2/block1/conv2/norm/add',
        'stage2/block1/conv2/norm/relu',
    } <= set(resnet.layers)
    mlp = network(tmp_path, 'mlp', *NETWORKS['mlp'])
    assert list(mlp.layers) == ['dense1', 'dense1/gelu', 'logits']
    images = noise((8, 8, 1))
    dense, gelu = mlp.run([mlp.layers[n].tensor for n in list(mlp.layers)[:2]], images)
    with tf.Graph().as_default(), v1.Session() as session:
        assert session.run(tf.nn.gelu(dense)) == pytest.approx(gelu, abs=1e-6)


@pytest.mark.combinations
@pytest.mark.parametrize(
    ('name', 'settings'),
    [
        ('linear', {}),
        ('mlp', {'loss': 'squared_error'}),
        ('cnn', {}),
        ('resnet_cifar', {}),
        ('fmp', {}),
    ],
)
def test_attributions_sum_to_the_difference_in_score(name, settings, tmp_path):
    args, shape = NETWORKS[name]
    explainer = network(tmp_path, name, args, shape, **settings)
    for value in explainer.variables:  # `linear` is initialized with zeros.
        if name == 'linear' and value.shape.rank == 2:
            random = np.random.default_rng(0).normal(0, 0.1, value.shape)
            with explainer.graph.as_default():
                explainer.value(value.assign(random.astype(np.float32)))
    image, black = noise(shape)[0], np.zeros(shape, np.float32)
    values, gap, _ = saliency.complete_gradients(explainer, image, 1, black)
    before, after = explainer.run(explainer.scores, np.stack([black, image]))[:, 1]
    assert after != before
    assert values.sum() == pytest.approx(after - before, rel=0.01)
    assert gap <= 0.01
    explainer.close()


def test_too_few_steps_leave_a_gap(cnn):
    image = noise(cnn.shape)[0]
    _, rough, steps = saliency.complete_gradients(cnn, image, 1, 0.0, steps=1)
    assert steps == 1
    assert rough > 0.02


def test_gradients_match_finite_differences(cnn):
    image = noise(cnn.shape)
    _, gradient = cnn.gradient(cnn.objective(cnn.scores), image, 2)
    for position in ((0, 0, 0), (3, 4, 1), (7, 2, 2)):
        more, less = image.copy(), image.copy()
        more[(0, *position)] += 0.5
        less[(0, *position)] -= 0.5
        difference = cnn.class_scores(more, 2) - cnn.class_scores(less, 2)
        assert gradient[(0, *position)] == pytest.approx(
            difference[0], rel=0.05, abs=1e-5
        )


def test_pixel_weights_match_the_kernel(tmp_path):
    data = source()
    model_fn, checkpoint = trained(tmp_path, data, 5)
    explainer = Explainer(model_fn, checkpoint, data.info)
    assert explainer.step == 5
    layer, values = weight_images.pixel_weights(explainer)
    assert layer.name == 'logits'
    kernel = tf.train.load_variable(checkpoint, 'linear/logits/kernel')
    expected = kernel.T.reshape(3, 8, 8, 1) * 255.0 / np.float32(data.info.stddev)
    assert np.abs(expected).max() > 0
    assert values == pytest.approx(expected, rel=1e-4, abs=1e-6)
    with pytest.raises(ConfigError, match='begins with a convolution.*`what=weights`'):
        weight_images.first_filters(explainer)


def test_filters_match_the_kernel(cnn):
    layer, filters = weight_images.first_filters(cnn)
    assert layer.name == 'conv1'
    kernel = cnn.value(cnn.variables[0])
    assert np.array_equal(filters[3], kernel[..., 3])
    with pytest.raises(ConfigError, match='weighs every pixel.*`what=filters`'):
        weight_images.pixel_weights(cnn)


def test_ema_weights_are_explained_if_the_run_has_them(tmp_path):
    data = source()
    model_fn, checkpoint = trained(tmp_path, data, 4, ema_decay=0.9)
    explainer = Explainer(model_fn, checkpoint, data.info)
    name = 'linear/logits/kernel'
    average = tf.train.load_variable(checkpoint, f'{name}/ExponentialMovingAverage')
    assert not np.allclose(average, tf.train.load_variable(checkpoint, name))
    _, values = weight_images.pixel_weights(explainer)
    expected = average.T.reshape(3, 8, 8, 1) * 255.0 / np.float32(data.info.stddev)
    assert values == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_occlusion_localizes_the_decisive_square(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 100, (60, 12, 12, 1))
    labels = np.arange(60) % 2
    images[labels == 1, 7:10, 2:5] = 255
    images = images.astype(np.uint8)
    data = from_arrays({'train': (images, labels)}, ('nothing', 'square'), name='made')
    model_fn, checkpoint = trained(tmp_path, data, 60)
    explainer = Explainer(model_fn, checkpoint, data.info)
    image = images[1].astype(np.float32)
    before = explainer.probabilities(image[None])[0, 1]
    assert before > 0.9
    drops = occlusion.occlusion(explainer, image, 1, 3, 1, explainer.mean)
    assert drops.shape == (12, 12)
    row, column = np.unravel_index(np.argmax(drops), drops.shape)
    assert (row, column) == (8, 3)  # The center of the square.
    assert drops[:5].max() < drops[8, 3] / 2
    # A patch over the whole image equals an image of the mean color.
    whole_drop = occlusion.occlusion(explainer, image, 1, 12, 1, explainer.mean)
    flat = np.broadcast_to(explainer.mean, (1, 12, 12, 1))
    expected = before - explainer.probabilities(flat)[0, 1]
    assert whole_drop == pytest.approx(np.full((12, 12), expected), abs=1e-6)


@pytest.mark.parametrize('layer', ['', 'conv2', 'dense1'])
def test_maximization_raises_its_objective(cnn, layer):
    tensor = cnn.layer(layer).tensor if layer else cnn.scores
    images = activation_maximization.maximize(cnn, tensor, [0, 1, 2], steps=40)
    assert images.shape == (3, *cnn.shape)
    assert images.min() >= 0 and images.max() <= 255
    objective = cnn.objective(tensor)
    start = np.broadcast_to(cnn.mean, images.shape)
    before, _ = cnn.gradient(objective, start, [0, 1, 2])
    after, _ = cnn.gradient(objective, images, [0, 1, 2])
    assert (after > before).all()
    again = activation_maximization.maximize(cnn, tensor, [0, 1, 2], steps=40)
    assert np.array_equal(images, again)
    other = activation_maximization.maximize(cnn, tensor, [0, 1, 2], steps=40, seed=1)
    assert not np.array_equal(images, other)


def test_smoothness_lowers_the_total_variation(cnn):
    rough, smooth = (
        activation_maximization.maximize(
            cnn, cnn.scores, [0], steps=40, smoothness=amount
        )
        for amount in (0.0, 3.0)
    )
    assert (
        np.abs(np.diff(smooth, axis=1)).mean() < np.abs(np.diff(rough, axis=1)).mean()
    )


def test_random_transforms_are_centered_and_small(cnn):
    identity = np.array([[1, 0, 0, 0, 1, 0, 0, 0]], np.float32)
    images, objective = noise(cnn.shape), cnn.objective(cnn.scores)
    plain, gradient = cnn.gradient(objective, images, 0)
    same_value, same = cnn.transformed_gradient(objective, images, 0, identity)
    assert same_value == pytest.approx(plain, rel=1e-5)
    assert same == pytest.approx(gradient, rel=1e-4, abs=1e-7)
    transforms = activation_maximization.random_transforms(
        np.random.default_rng(0), 500, 28, 28
    )
    center = np.array([13.5, 13.5, 1.0])
    moved = np.stack([transforms[:, :3] @ center, transforms[:, 3:6] @ center], 1)
    assert np.abs(moved - 13.5).max() <= 2.001  # Only the shift moves it.
    assert np.abs(moved - 13.5).max() > 1.9


@pytest.mark.parametrize('size', [(8, 8), (19, 30)])
@pytest.mark.parametrize('unit', [None, 2])
def test_dream_raises_the_norm_of_the_layer(cnn, size, unit):
    tensor = cnn.layer('conv2/relu').tensor
    image = noise((*size, 3))[0] * 0.5 + 60
    dreamt = deepdream.dream(cnn, tensor, image, unit=unit, steps=6)
    assert dreamt.shape == image.shape
    assert dreamt.min() >= 0 and dreamt.max() <= 255
    objective = cnn.objective(tensor, 'square' if unit is None else 'value')
    for top in (0, size[0] - 8):
        for left in (0, size[1] - 8):
            region = slice(top, top + 8), slice(left, left + 8)
            before, after = (
                cnn.gradient(objective, x[region][None], unit or 0)[0][0]
                for x in (image, dreamt)
            )
            assert after > before
    assert np.array_equal(
        dreamt, deepdream.dream(cnn, tensor, image, unit=unit, steps=6)
    )


def test_dream_reports_its_objective(cnn):
    image = noise((8, 8, 3))[0] * 0.5 + 60
    images = [DecodedImage('a.png', image, None, _png(image))]
    options = ExplainOptions(layer='conv2/relu', units=(1, 2), steps=2, dream_size=8)
    (figure,) = image_figures.dream_figures(cnn, options, images)
    objective = cnn.objective(cnn.layer('conv2/relu').tensor)
    found = [
        re.search('changes from (.*) to (.*) [(]mean', message)
        for message in figure.messages
    ]
    before = [float(match[1]) for match in found]
    assert before[0] != before[1]
    base = image_figures._dream_base(cnn, options, images[0])
    center = image_figures._center(cnn, base)
    wanted = [float(cnn.gradient(objective, center, unit)[0][0]) for unit in (1, 2)]
    np.testing.assert_allclose(before, wanted, rtol=1e-2)


def test_features_need_a_layer_with_feature_maps(cnn, tmp_path):
    image = noise(cnn.shape)[0]
    images = [DecodedImage('a.png', image, None, _png(image))]

    def make(**settings):
        options = ExplainOptions(**settings)
        return list(
            render.write_figures(cnn, ['features'], options, images, str(tmp_path), 0)
        )

    [(path, figure)] = make()
    assert figure.name == 'features-conv1-relu-1'
    [(_, one)] = make(layer='conv2', units=(5,))
    assert one.image.size[0] < figure.image.size[0] + 1
    with pytest.raises(ConfigError, match=r'`what=features.*dense1 \[8\] is not'):
        make(layer='dense1')
    with pytest.raises(ConfigError, match='`unit` must be from 0 to 5.*got 6'):
        make(layer='conv2', units=(6,))


def test_figures_are_written_for_tensorboard(cnn, tmp_path):
    directory = str(tmp_path / 'new')
    image = noise(cnn.shape)[0]
    images = [DecodedImage('a.png', image, 2, _png(image))]
    options = ExplainOptions(steps=2, class_name='bright')
    kinds = ['filters', 'saliency', 'maximize']
    made = list(render.write_figures(cnn, kinds, options, images, directory, 12))
    [message] = made[1][1].messages
    assert 'the score of bright' in message
    assert 'in 2 steps' in message and 'gap' in message
    found = {
        value.tag: (event.step, value.image)
        for event in events(directory)
        for value in event.summary.value
    }
    assert set(found) == {'filters/filters', 'saliency/saliency', 'maximize/classes'}
    step, summary = found['maximize/classes']
    assert step == 12
    assert (summary.width, summary.height) == made[2][1].image.size


@pytest.mark.extended
def test_images_are_loaded_from_sources_and_files(tmp_path):
    data = source()
    decoder = BatchDecoder((8, 8), 1)
    found = load_images(sample_examples(data, 'test', 4), decoder)
    examples = list(data.encoded('test'))
    assert [p.name for p in found] == [examples[i][0] for i in (0, 6, 12, 19)]
    assert [p.label for p in found] == [examples[i][2] for i in (0, 6, 12, 19)]
    assert found[0].pixels.shape == (8, 8, 1) and found[0].pixels.dtype == np.float32
    wide = noise((10, 30, 3))[0]
    [image] = load_images([('wide.png', _png(wide), None)], BatchDecoder((8, 8), 3))
    assert image.pixels.shape == (8, 8, 3)
    requested = []
    records = types.SimpleNamespace(
        indexed=False,
        num_examples={'x': 10**6},
        encoded=lambda split, indices: requested.extend(indices) or [],
    )
    assert list(sample_examples(records, 'x', 9)) == []
    assert len(requested) == 9
    assert max(requested) < 1024  # Reaching a record reads all records before it.
    assert np.array_equal(decode_full_size(image, 3), wide)
    with pytest.raises(ConfigError, match='no.png: neither JPEG'):
        load_images([('no.png', b'text', None)], decoder)
    skipped = []
    corrupt = CorruptImages(2, lambda *event: skipped.append(event))
    wide = ('wide.png', _png(wide), None)
    found = load_images(
        [('no.png', b'text', None), wide], BatchDecoder((8, 8), 3), corrupt
    )
    assert [p.name for p in found] == ['wide.png']
    ((name, reason),) = skipped
    assert name == 'no.png' and reason.startswith('neither JPEG')
    with pytest.raises(ConfigError, match='none of the images can be read'):
        load_images([('no.png', b'text', None)], decoder, corrupt)


def test_invalid_options_are_refused(cnn, tmp_path):
    with pytest.raises(ConfigError, match="`layer` must be .* got 'conv9'") as e:
        cnn.layer('conv9')
    assert '  conv2/relu [4 x 4 x 6]' in str(e.value).splitlines()
    with pytest.raises(ConfigError, match="`class_name` must be one of dark.*'cat'"):
        cnn.class_index('cat')
    with pytest.raises(ConfigError, match='`what=saliency` needs images'):
        list(
            render.write_figures(
                cnn, ['saliency'], ExplainOptions(), [], str(tmp_path), 0
            )
        )
    image = noise(cnn.shape)[0]
    images = [DecodedImage('a.png', image, None, _png(image))]
    new = str(tmp_path / 'new')  # Not created: options are checked first.
    with pytest.raises(ConfigError, match='`patch` must be at most the 8 pixels'):
        options = ExplainOptions(patch=9)
        list(
            render.write_figures(
                cnn, ['saliency', 'occlusion'], options, images, new, 0
            )
        )
    assert not os.path.exists(new)
    with pytest.raises(ConfigError, match='`unit` must be from 0 to 5.*got 9'):
        options = ExplainOptions(layer='conv2', units=(9,))
        list(render.write_figures(cnn, ['saliency'], options, images, new, 0))
    assert not os.path.exists(new)
    with pytest.raises(ConfigError, match='`stride` must be at most the 2 pixels'):
        options = ExplainOptions(patch=2, stride=3)
        list(render.write_figures(cnn, ['occlusion'], options, images, new, 0))
    info = DatasetInfo('numbers', (), (4,), {'train': 3}, [0.0], [1.0])
    with pytest.raises(ConfigError, match='this is a regression'):
        Explainer(None, 'nowhere', info)
    data = source()
    model_fn, _ = trained(tmp_path / 'run', data, 1)
    with pytest.raises(RunError, match='nowhere'):
        Explainer(model_fn, str(tmp_path / 'nowhere'), data.info)


def _png(image):
    buffer = io.BytesIO()
    pixels = image.astype(np.uint8)
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(
        buffer, 'PNG'
    )
    return buffer.getvalue()
