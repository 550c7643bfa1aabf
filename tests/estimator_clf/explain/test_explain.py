"""What a network sees: gradients, attributions, occlusion, dreams, sheets, files."""

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
from estimator_clf.explain.images import Picture, load, some_of, whole
from estimator_clf.explain.options import Wish
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
    """Returns an `Explainer` of a network with its first weights."""
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
    made = network(directory, 'cnn', *NETWORKS['cnn'])
    yield made
    made.close()


def noise(shape, count=1, seed=0):
    """Returns float32 [count, *shape]: images of whole levels."""
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


@pytest.mark.parametrize('name', NETWORKS)
def test_every_network_is_explained(name, tmp_path):
    args, shape = NETWORKS[name]
    explainer = network(tmp_path, name, args, shape)
    images = noise(shape, 2)
    pictures = [
        Picture(f'{i}.png', image, i, _png(image)) for i, image in enumerate(images)
    ]
    wish = Wish(steps=2, patch=shape[0] // 2, dream_size=20)
    kinds = [*render.usual_kinds(explainer), 'dream']
    made = list(render.explain(explainer, kinds, wish, pictures, str(tmp_path), 7))
    assert [figure.name for _, figure in made][:4] == [
        'weights' if name in ('linear', 'mlp') else 'filters',
        'saliency',
        'occlusion',
        'maximize-classes',
    ]
    for path, _ in made:
        with Image.open(path) as picture:
            assert picture.format == 'PNG' and picture.mode == 'RGB'
            picture.load()
            grays = picture.convert('L').getcolors()
            assert len(grays) > 60  # There is more on it than a heading.
    explainer.close()


def test_layers_have_the_names_of_their_variables(cnn):
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


def test_layers_of_blocks_and_of_activations_of_several_ops(tmp_path):
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
def test_attributions_add_up_to_the_difference_in_score(name, settings, tmp_path):
    args, shape = NETWORKS[name]
    explainer = network(tmp_path, name, args, shape, **settings)
    for value in explainer.variables:  # `linear` begins with zeros.
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


def test_a_gap_is_seen(cnn):
    image = noise(cnn.shape)[0]
    _, rough, steps = saliency.complete_gradients(cnn, image, 1, 0.0, steps=1)
    assert steps == 1
    assert rough > 0.02


def test_gradients_are_those_by_finite_differences(cnn):
    image = noise(cnn.shape)
    _, gradient = cnn.gradient(cnn.goal(cnn.scores), image, 2)
    for place in ((0, 0, 0), (3, 4, 1), (7, 2, 2)):
        more, less = image.copy(), image.copy()
        more[(0, *place)] += 0.5
        less[(0, *place)] -= 0.5
        difference = cnn.class_scores(more, 2) - cnn.class_scores(less, 2)
        assert gradient[(0, *place)] == pytest.approx(difference[0], rel=0.05, abs=1e-5)


def test_pixel_weights_are_the_weights(tmp_path):
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
    with pytest.raises(ConfigError, match='begin with a convolution.*`what=weights`'):
        weight_images.first_filters(explainer)


def test_filters_are_the_weights(cnn):
    layer, filters = weight_images.first_filters(cnn)
    assert layer.name == 'conv1'
    kernel = cnn.value(cnn.variables[0])
    assert np.array_equal(filters[3], kernel[..., 3])
    with pytest.raises(ConfigError, match='weighs every pixel.*`what=filters`'):
        weight_images.pixel_weights(cnn)


def test_averaged_weights_are_explained_where_the_run_has_them(tmp_path):
    data = source()
    model_fn, checkpoint = trained(tmp_path, data, 4, ema_decay=0.9)
    explainer = Explainer(model_fn, checkpoint, data.info)
    name = 'linear/logits/kernel'
    average = tf.train.load_variable(checkpoint, f'{name}/ExponentialMovingAverage')
    assert not np.allclose(average, tf.train.load_variable(checkpoint, name))
    _, values = weight_images.pixel_weights(explainer)
    expected = average.T.reshape(3, 8, 8, 1) * 255.0 / np.float32(data.info.stddev)
    assert values == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_occlusion_finds_the_square_that_decides(tmp_path):
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
    assert (row, column) == (8, 3)  # Its middle.
    assert drops[:5].max() < drops[8, 3] / 2
    # One patch over all of it: what falls is what falls without any image.
    whole_drop = occlusion.occlusion(explainer, image, 1, 12, 1, explainer.mean)
    flat = np.broadcast_to(explainer.mean, (1, 12, 12, 1))
    expected = before - explainer.probabilities(flat)[0, 1]
    assert whole_drop == pytest.approx(np.full((12, 12), expected), abs=1e-6)


@pytest.mark.parametrize('layer', ['', 'conv2', 'dense1'])
def test_maximisation_raises_what_it_is_to_raise(cnn, layer):
    tensor = cnn.layer(layer).tensor if layer else cnn.scores
    images = activation_maximization.maximize(cnn, tensor, [0, 1, 2], steps=40)
    assert images.shape == (3, *cnn.shape)
    assert images.min() >= 0 and images.max() <= 255
    goal = cnn.goal(tensor)
    start = np.broadcast_to(cnn.mean, images.shape)
    before, _ = cnn.gradient(goal, start, [0, 1, 2])
    after, _ = cnn.gradient(goal, images, [0, 1, 2])
    assert (after > before).all()
    again = activation_maximization.maximize(cnn, tensor, [0, 1, 2], steps=40)
    assert np.array_equal(images, again)
    other = activation_maximization.maximize(cnn, tensor, [0, 1, 2], steps=40, seed=1)
    assert not np.array_equal(images, other)


def test_smoothness_makes_smooth(cnn):
    rough, smooth = (
        activation_maximization.maximize(
            cnn, cnn.scores, [0], steps=40, smoothness=amount
        )
        for amount in (0.0, 3.0)
    )
    assert (
        np.abs(np.diff(smooth, axis=1)).mean() < np.abs(np.diff(rough, axis=1)).mean()
    )


def test_moves_keep_a_image_about_where_it_is(cnn):
    still = np.array([[1, 0, 0, 0, 1, 0, 0, 0]], np.float32)
    images, goal = noise(cnn.shape), cnn.goal(cnn.scores)
    plain, gradient = cnn.gradient(goal, images, 0)
    moved, same = cnn.moved_gradient(goal, images, 0, still)
    assert moved == pytest.approx(plain, rel=1e-5)
    assert same == pytest.approx(gradient, rel=1e-4, abs=1e-7)
    moves = activation_maximization.random_moves(np.random.default_rng(0), 500, 28, 28)
    middle = np.array([13.5, 13.5, 1.0])
    places = np.stack([moves[:, :3] @ middle, moves[:, 3:6] @ middle], 1)
    assert np.abs(places - 13.5).max() <= 2.001  # The shift alone.
    assert np.abs(places - 13.5).max() > 1.9


@pytest.mark.parametrize('size', [(8, 8), (19, 30)])
@pytest.mark.parametrize('unit', [None, 2])
def test_a_dream_raises_the_norm_of_the_layer(cnn, size, unit):
    tensor = cnn.layer('conv2/relu').tensor
    image = noise((*size, 3))[0] * 0.5 + 60
    dreamt = deepdream.dream(cnn, tensor, image, unit=unit, steps=6)
    assert dreamt.shape == image.shape
    assert dreamt.min() >= 0 and dreamt.max() <= 255
    goal = cnn.goal(tensor, 'square' if unit is None else 'value')
    for top in (0, size[0] - 8):
        for left in (0, size[1] - 8):
            place = slice(top, top + 8), slice(left, left + 8)
            before, after = (
                cnn.gradient(goal, x[place][None], unit or 0)[0][0]
                for x in (image, dreamt)
            )
            assert after > before
    assert np.array_equal(
        dreamt, deepdream.dream(cnn, tensor, image, unit=unit, steps=6)
    )


def test_what_a_dream_reports_is_what_it_has_raised(cnn):
    image = noise((8, 8, 3))[0] * 0.5 + 60
    given = [Picture('a.png', image, None, _png(image))]
    wish = Wish(layer='conv2/relu', units=(1, 2), steps=2, dream_size=8)
    (figure,) = image_figures.dream_figures(cnn, wish, given)
    goal = cnn.goal(cnn.layer('conv2/relu').tensor)
    told = [re.search('go from (.*) to (.*) [(]mean', said) for said in figure.said]
    before = [float(found[1]) for found in told]
    assert before[0] != before[1]
    base = image_figures._dream_base(cnn, wish, given[0])
    middle = image_figures._middle(cnn, base)
    wanted = [float(cnn.gradient(goal, middle, unit)[0][0]) for unit in (1, 2)]
    np.testing.assert_allclose(before, wanted, rtol=1e-2)


def test_features_need_a_layer_with_places(cnn, tmp_path):
    image = noise(cnn.shape)[0]
    given = [Picture('a.png', image, None, _png(image))]

    def make(**wish):
        return list(
            render.explain(cnn, ['features'], Wish(**wish), given, str(tmp_path), 0)
        )

    [(path, figure)] = make()
    assert figure.name == 'features-conv1-relu-1'
    [(_, one)] = make(layer='conv2', units=(5,))
    assert one.picture.size[0] < figure.picture.size[0] + 1
    with pytest.raises(ConfigError, match=r'`what=features.*dense1` \[8\] is not'):
        make(layer='dense1')
    with pytest.raises(ConfigError, match='`unit` must be from 0 to 5.*got 6'):
        make(layer='conv2', units=(6,))


def test_images_for_tensorboard(cnn, tmp_path):
    directory = str(tmp_path / 'new')
    image = noise(cnn.shape)[0]
    given = [Picture('a.png', image, 2, _png(image))]
    wish = Wish(steps=2, class_name='bright')
    kinds = ['filters', 'saliency', 'maximize']
    made = list(render.explain(cnn, kinds, wish, given, directory, 12))
    [said] = made[1][1].said
    assert 'the score of bright' in said and 'in 2 steps' in said and 'gap' in said
    found = {
        value.tag: (event.step, value.image)
        for event in events(directory)
        for value in event.summary.value
    }
    assert set(found) == {'filters/filters', 'saliency/saliency', 'maximize/classes'}
    step, summary = found['maximize/classes']
    assert step == 12
    assert (summary.width, summary.height) == made[2][1].picture.size


def test_images_of_a_source_and_of_files(tmp_path):
    data = source()
    decoder = BatchDecoder((8, 8), 1)
    found = load(some_of(data, 'test', 4), decoder)
    every = list(data.encoded('test'))
    assert [p.name for p in found] == [every[i][0] for i in (0, 6, 12, 19)]
    assert [p.label for p in found] == [every[i][2] for i in (0, 6, 12, 19)]
    assert found[0].image.shape == (8, 8, 1) and found[0].image.dtype == np.float32
    wide = noise((10, 30, 3))[0]
    [picture] = load([('wide.png', _png(wide), None)], BatchDecoder((8, 8), 3))
    assert picture.image.shape == (8, 8, 3)
    asked = []
    records = types.SimpleNamespace(
        indexed=False,
        num_examples={'x': 10**6},
        encoded=lambda split, indices: asked.extend(indices) or [],
    )
    assert list(some_of(records, 'x', 9)) == []
    assert len(asked) == 9 and max(asked) < 1024  # All before one are read to reach it.
    assert np.array_equal(whole(picture, 3), wide)
    with pytest.raises(ConfigError, match='no.png: neither JPEG'):
        load([('no.png', b'text', None)], decoder)
    left_out = []
    bad = CorruptImages(2, lambda *what: left_out.append(what))
    wide = ('wide.png', _png(wide), None)
    found = load([('no.png', b'text', None), wide], BatchDecoder((8, 8), 3), bad)
    assert [p.name for p in found] == ['wide.png']
    ((name, why),) = left_out
    assert name == 'no.png' and why.startswith('neither JPEG')
    with pytest.raises(ConfigError, match='none of the images can be read'):
        load([('no.png', b'text', None)], decoder, bad)


def test_mistakes_are_said(cnn, tmp_path):
    with pytest.raises(ConfigError, match="`layer` must be .* got 'conv9'") as e:
        cnn.layer('conv9')
    assert '  conv2/relu [4 x 4 x 6]' in str(e.value).splitlines()
    with pytest.raises(ConfigError, match="`class_name` must be one of dark.*'cat'"):
        cnn.class_number('cat')
    with pytest.raises(ConfigError, match='`what=saliency` needs images'):
        list(render.explain(cnn, ['saliency'], Wish(), [], str(tmp_path), 0))
    image = noise(cnn.shape)[0]
    given = [Picture('a.png', image, None, _png(image))]
    with pytest.raises(ConfigError, match='`patch` must be at most the 8 pixels'):
        wish = Wish(patch=9)
        new = tmp_path / 'new'  # Nothing is drawn before it is found.
        list(render.explain(cnn, ['saliency', 'occlusion'], wish, given, str(new), 0))
    assert not new.exists()
    with pytest.raises(ConfigError, match='`unit` must be from 0 to 5.*got 9'):
        wish = Wish(layer='conv2', units=(9,))
        list(render.explain(cnn, ['saliency'], wish, given, str(new), 0))
    assert not new.exists()
    with pytest.raises(ConfigError, match='`stride` must be at most the 2 pixels'):
        wish = Wish(patch=2, stride=3)
        list(render.explain(cnn, ['occlusion'], wish, given, str(tmp_path), 0))
    info = DatasetInfo('numbers', (), (4,), {'train': 3}, [0.0], [1.0])
    with pytest.raises(ConfigError, match='this is a regression'):
        Explainer(None, 'nowhere', info)
    data = source()
    model_fn, _ = trained(tmp_path / 'run', data, 1)
    with pytest.raises(RunError, match='nowhere'):
        Explainer(model_fn, str(tmp_path / 'nowhere'), data.info)


def _png(image):
    import io

    buffer = io.BytesIO()
    pixels = image.astype(np.uint8)
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(
        buffer, 'PNG'
    )
    return buffer.getvalue()
