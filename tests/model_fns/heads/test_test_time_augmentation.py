"""Views of an image, and what evaluation, prediction and export make of them."""

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.config.config import Config
from estimator_clf.core.errors import ConfigError, SettingError
from model_fns import make_model_fn
from model_fns.heads.test_time_augmentation import views
from model_fns.optimizers.config import parse_views
from tests.helpers import stepping

v1 = tf.compat.v1
IMAGES = stepping.IMAGES


def shown(view):
    with tf.Graph().as_default(), v1.Session() as session:
        return session.run(view.change(tf.constant(IMAGES)))


def moved(images, down, right):
    """Moved within its reflected surroundings, in NumPy."""
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), 'reflect')
    height, width = images.shape[1:3]
    return padded[:, 2 - down : 2 - down + height, 2 - right : 2 - right + width]


def test_six_views():
    found = [(view.weight, shown(view)) for view in views(True, 2)]
    pictures = [IMAGES, moved(IMAGES, -2, -2), moved(IMAGES, 2, 2)]
    expected = [
        (weight / 2, turned)
        for weight, picture in zip((0.5, 0.25, 0.25), pictures, strict=True)
        for turned in (picture, picture[:, :, ::-1])
    ]
    assert [weight for weight, _ in found] == [weight for weight, _ in expected]
    for (_, a), (_, b) in zip(found, expected, strict=True):
        assert a.dtype == np.uint8
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize('mirror, shift, count', [(True, 0, 2), (False, 1, 3)])
def test_weights_add_up(mirror, shift, count):
    weights = [view.weight for view in views(mirror, shift)]
    assert len(weights) == count and sum(weights) == 1


def outputs(mode, **settings):
    """The logits of prediction, or the accuracy's parts of evaluation."""
    model_fn = make_model_fn(
        'linear', num_classes=3, mean=127.0, stddev=70.0, **settings
    )
    kernel = np.random.default_rng(1).normal(size=(192, 3)).astype(np.float32)
    with tf.Graph().as_default(), v1.Session() as session:
        v1.train.create_global_step()
        spec = model_fn(
            {'image': tf.constant(IMAGES)}, tf.constant(stepping.LABELS), mode
        )
        session.run(v1.global_variables_initializer())
        (variable,) = (v for v in v1.global_variables() if 'kernel' in v.name)
        variable.load(kernel, session)
        if mode == 'infer':
            return session.run(spec.predictions['logits']), kernel
        return session.run(spec.loss), kernel


def by_hand(kernel):
    def logits(images):
        return ((images.astype(np.float32) - 127) / 70).reshape(12, -1) @ kernel

    return sum(view.weight * logits(shown(view)) for view in views(True, 1))


def test_prediction_averages_the_logits_where_it_is_to():
    averaged, kernel = outputs('infer', eval_views=(True, 1), export_views=True)
    np.testing.assert_allclose(averaged, by_hand(kernel), rtol=1e-3, atol=1e-3)
    usual, _ = outputs('infer', eval_views=(True, 1))
    np.testing.assert_array_equal(usual, outputs('infer')[0])
    assert np.abs(usual - averaged).max() > 0.1


def test_evaluation_averages_them():
    loss, kernel = outputs('eval', eval_views=(True, 1))
    logits = by_hand(kernel)
    logits -= logits.max(1, keepdims=True)
    log = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    expected = -log[np.arange(12), stepping.LABELS].mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-3)


def test_what_is_written():
    assert parse_views('') is None and parse_views('none') is None
    assert parse_views('mirror') == (True, 0)
    assert parse_views('shift:2, mirror') == (True, 2)
    for text in ('mirror:1', 'shift', 'shift:0', 'shift:-1', 'mirror,mirror', 'turn'):
        with pytest.raises(SettingError, match='mirror and shift:PIXELS'):
            parse_views(text)


def test_what_does_not_go_together():
    with pytest.raises(SettingError, match='`eval_samples`'):
        make_model_fn('fmp', num_classes=3, eval_views=(True, 1), eval_samples=2)
    with pytest.raises(ConfigError, match='needs `eval_tta`'):
        Config(export_tta=True)
    with pytest.raises(ConfigError, match='`cache_features`'):
        Config(eval_tta='mirror', cache_features=True)
