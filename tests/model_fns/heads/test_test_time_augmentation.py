"""Test-time augmentation: the views, and the average of their predictions."""

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.config.config import make_config
from estimator_clf.config.parsers import parse_eval_tta
from estimator_clf.core.errors import ConfigError, SettingError
from model_fns import HeadSpec
from model_fns.heads.test_time_augmentation import augmented_views
from tests.helpers import stepping
from tests.helpers.model_fns import model_fn_of

v1 = tf.compat.v1
IMAGES = stepping.IMAGES


def augmented(view):
    with tf.Graph().as_default(), v1.Session() as session:
        return session.run(view.augment(tf.constant(IMAGES)))


def moved(images, down, right):
    """Moves images within their reflected borders, in NumPy."""
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), 'reflect')
    height, width = images.shape[1:3]
    return padded[:, 2 - down : 2 - down + height, 2 - right : 2 - right + width]


def test_six_views():
    found = [(view.weight, augmented(view)) for view in augmented_views(True, 2)]
    shifted = [IMAGES, moved(IMAGES, -2, -2), moved(IMAGES, 2, 2)]
    expected = [
        (weight / 2, flipped)
        for weight, images in zip((0.5, 0.25, 0.25), shifted, strict=True)
        for flipped in (images, images[:, :, ::-1])
    ]
    assert [weight for weight, _ in found] == [weight for weight, _ in expected]
    for (_, a), (_, b) in zip(found, expected, strict=True):
        assert a.dtype == np.uint8
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize('mirror, shift, count', [(True, 0, 2), (False, 1, 3)])
def test_weights_add_up(mirror, shift, count):
    weights = [view.weight for view in augmented_views(mirror, shift)]
    assert len(weights) == count and sum(weights) == 1


def outputs(mode, **settings):
    """Returns the logits of prediction or the loss of evaluation, and the kernel."""
    model_fn = model_fn_of('linear', num_classes=3, mean=127.0, stddev=70.0, **settings)
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


def expected_logits(kernel):
    def logits(images):
        return ((images.astype(np.float32) - 127) / 70).reshape(12, -1) @ kernel

    return sum(
        view.weight * logits(augmented(view)) for view in augmented_views(True, 1)
    )


def test_prediction_averages_the_logits_with_export_views():
    averaged, kernel = outputs('infer', eval_views=(True, 1), export_views=True)
    np.testing.assert_allclose(averaged, expected_logits(kernel), rtol=1e-3, atol=1e-3)
    usual, _ = outputs('infer', eval_views=(True, 1))
    np.testing.assert_array_equal(usual, outputs('infer')[0])
    assert np.abs(usual - averaged).max() > 0.1


def test_evaluation_averages_the_logits():
    loss, kernel = outputs('eval', eval_views=(True, 1))
    logits = expected_logits(kernel)
    logits -= logits.max(1, keepdims=True)
    log = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    expected = -log[np.arange(12), stepping.LABELS].mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-3)


def test_settings_as_text():
    assert parse_eval_tta('') is None and parse_eval_tta('none') is None
    assert parse_eval_tta('mirror') == (True, 0)
    assert parse_eval_tta('shift(2), mirror') == (True, 2)
    for text in ('mirror(1)', 'shift', 'shift(0)', 'shift(-1)', 'mirror, mirror', 'x'):
        with pytest.raises(ConfigError, match='mirror and shift'):
            parse_eval_tta(text)


def test_invalid_combinations_are_refused():
    with pytest.raises(SettingError, match='`eval_samples`'):
        HeadSpec(eval_views=(True, 1), eval_samples=2)
    with pytest.raises(ConfigError, match='requires `eval_tta`'):
        make_config(export_tta=True)
    with pytest.raises(ConfigError, match='`cache_features`'):
        make_config(eval_tta='mirror', cache_features=True)
