"""First weights that come from the images: in place, once, and kept at a resume."""

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.config.config import make_config
from estimator_clf.training import data_dependent_init
from input.formats.arrays import from_arrays
from model_fns import ModelSpec, OptimizerSpec, make_model_fn
from model_fns.layers import patch_whitening
from tests.helpers import small_run

NAME = 'airbench/whiten/kernel'


@pytest.fixture(autouse=True)
def airbench(monkeypatch):
    """Runs of small_run train a small airbench."""

    def make(config, info, total_steps, scale=1.0):
        return make_model_fn(
            ModelSpec(
                'airbench',
                {'widths': (4,)},
                num_classes=info.num_classes,
                mean=info.mean,
                stddev=info.stddev,
            ),
            optimizer=OptimizerSpec(
                'nesterov',
                0.1,
                ema_decay=0.5,
                train_only=(config.optimization.train_only,)
                if config.optimization.train_only
                else (),
            ),
        )

    monkeypatch.setattr(small_run, 'small_model_fn', make)


def kernel(checkpoint, name=NAME):
    return tf.train.load_checkpoint(str(checkpoint)).get_tensor(name)


def expected(source):
    info = source.info
    images = np.concatenate(list(data_dependent_init.images(source, 'train')))
    images = (images - np.float32(info.mean)) / np.float32(info.stddev)
    return patch_whitening.filters([images], 2, 5e-4)


def test_a_run_begins_with_them_and_keeps_them(tmp_path):
    small_run.run(tmp_path, max_steps=6)
    source = small_run.source()
    for step in (0, 6):
        found = kernel(tmp_path / f'model.ckpt-{step}')
        np.testing.assert_allclose(found, expected(source), rtol=1e-3, atol=1e-4)
        average = f'{NAME}/ExponentialMovingAverage'
        found_average = kernel(tmp_path / f'model.ckpt-{step}', average)
        np.testing.assert_array_equal(found, found_average)
    bias = kernel(tmp_path / 'model.ckpt-6', 'airbench/whiten/bias')
    np.testing.assert_array_equal(bias, 0)


@pytest.mark.extended
def test_a_resumed_run_does_not_compute_them(tmp_path, monkeypatch):
    def fail(*_):
        raise AssertionError

    with pytest.raises(small_run.Recorder.Killed):
        small_run.run(tmp_path, small_run.Recorder(kill_after=4), max_steps=6)
    monkeypatch.setattr(data_dependent_init, 'images', fail)
    small_run.run(tmp_path, max_steps=6)
    found = kernel(tmp_path / 'model.ckpt-6')
    np.testing.assert_array_equal(found, kernel(tmp_path / 'model.ckpt-0'))


@pytest.mark.extended
def test_a_warm_start_has_the_last_word(tmp_path):
    small_run.run(tmp_path / 'first', max_steps=2)
    other = {
        split: (
            255 - small_run.make_images(40, seed=i)[0],
            small_run.make_images(40)[1],
        )
        for i, split in enumerate(('train', 'test'))
    }
    source = from_arrays(other, small_run.NAMES, name='other')
    small_run.run(
        tmp_path / 'second', data=source, max_steps=2, warm_start=f'{tmp_path}/first'
    )
    found = kernel(tmp_path / 'second' / 'model.ckpt-2')
    np.testing.assert_array_equal(found, kernel(tmp_path / 'first' / 'model.ckpt-2'))


def test_the_images_are_always_the_same_and_of_all_classes(monkeypatch):
    """Of a set that is sorted by class, and some at a time."""
    monkeypatch.setattr(data_dependent_init, '_NUMBERS', 20 * 16)
    labels = np.sort(np.arange(300, dtype=np.int32) % 3)
    images = np.broadcast_to(labels[:, None, None, None], (300, 4, 4, 1))
    arrays = {'train': (images.astype(np.uint8), labels)}
    source = from_arrays(arrays, small_run.NAMES, name='sorted')
    first, second = (
        list(data_dependent_init.images(source, 'train', count=50)) for _ in 'ab'
    )
    assert [len(batch) for batch in first] == [20, 20]
    assert set(np.unique(first)) == {0, 1, 2}
    np.testing.assert_array_equal(first, second)


def test_networks_without_any():
    def own(net, images, num_classes):
        return net.dense('logits', net.flatten(images), num_classes)

    for network in ('linear', own):
        model_fn = make_model_fn(ModelSpec(network, num_classes=3))
        assert model_fn.data_dependent_init is None
        assert (
            data_dependent_init.make_init_hook(
                make_config(), small_run.source(), model_fn
            )
            is None
        )


@pytest.mark.extended
def test_cached_features_are_those_of_the_computed_weights(tmp_path):
    settings = {'max_steps': 4, 'train_only': 'logits', 'augment': 'flip'}
    small_run.run(tmp_path / 'plain', **settings)
    small_run.run(tmp_path / 'cached', cache_features=True, **settings)
    for name in (NAME, 'airbench/logits/kernel'):
        plain, cached = (
            kernel(tmp_path / run / 'model.ckpt-4', name) for run in ('plain', 'cached')
        )
        np.testing.assert_allclose(cached, plain, rtol=1e-4, atol=1e-6)
