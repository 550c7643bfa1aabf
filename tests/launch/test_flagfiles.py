"""The flagfiles that come with the product: they say what they cost, and they run."""

import pathlib
import re

from estimator_clf.compat import estimator

import numpy as np
import pytest
import tensorflow as tf
from absl import flags as absl_flags
from absl.testing import flagsaver

from estimator_clf.training import models
from input.formats.arrays import from_arrays
from launch import flags
from tests.helpers.launching import ROOT, launch, lines
from tests.helpers.real_data import real_data

FLAGFILES = sorted(pathlib.Path(ROOT, 'launch', 'flagfiles').glob('*.flags'))
DATA_DIRS = {'cifar10': 'cifar-10-batches-bin', 'cifar100': 'cifar-100-binary'}
SHAPES = {'digits': (8, 8, 1), 'mnist': (28, 28, 1)}
CIFAR10 = 'airplane automobile bird cat deer dog frog horse ship truck'.split()

# One of each kind of data; the others would take minutes.
QUICK = ('mnist_linear', 'cifar10_cnn', 'dogscats_cnn')

# What they reach takes hours to find out, or days.
UNMEASURED = ('cifar100_fmp',)

each = pytest.mark.parametrize('path', FLAGFILES, ids=lambda path: path.stem)


@each
def test_says_what_it_costs_and_reaches(path):
    lines = path.read_text(encoding='utf-8').splitlines()
    head = ' '.join(line[2:] for line in lines if line.startswith('#'))
    assert re.search(r'Costs about .* [0-9.]+ GB on 2 CPU cores', head)
    if path.stem not in UNMEASURED:
        assert re.search(r'; reaches (test )?accuracy 0\.[0-9]+', head)
    flags = [line for line in lines if line and not line.startswith('#')]
    assert all(flag.startswith('--') for flag in flags)
    # Where a run lives and how it is seeded is for the one who starts it to say.
    names = {flag.partition('=')[0] for flag in flags}
    assert not names & {'--model_dir', '--data_dir', '--seed'}


@pytest.mark.extended
@each
def test_its_training_can_be_built(path):
    """All that is refused is refused before the first step."""
    config = _config(path)
    source = _source(config)
    config = models.resolve_auto(config, source)
    model_fn = models.build_model_fn(config, source.info, 1000)
    with tf.Graph().as_default():
        tf.compat.v1.train.get_or_create_global_step()
        batches = source.input_fn(
            'train',
            config.batch_size,
            training=True,
            augment=config.data.augment,
        )()
        features, labels = tf.compat.v1.data.make_one_shot_iterator(batches).get_next()
        spec = model_fn(features, labels, estimator.ModeKeys.TRAIN)
        assert spec.train_op is not None and spec.loss.shape.rank == 0


def _config(path):
    if 'dataset' not in absl_flags.FLAGS:
        flags.define_config()
    with flagsaver.flagsaver():
        absl_flags.FLAGS(['train', f'--flagfile={path}', '--data_dir=d'])
        return flags.config_from_flags()


def _source(config):
    """As many random images as a batch takes, of the shape of the real ones."""
    size = config.data.image_size or '32'
    shape = SHAPES.get(config.data.dataset, (int(size), int(size), 3))
    names = [str(n) for n in range(100 if config.data.dataset == 'cifar100' else 10)]
    if config.data.dataset == 'cifar10':
        names = CIFAR10
    count = 2 * max(config.batch_size, 100)
    images = np.random.default_rng(0).integers(0, 256, (count, *shape))
    labels = np.arange(count, dtype=np.int32) % len(names)
    splits = {split: (images.astype(np.uint8), labels) for split in ('train', 'test')}
    return from_arrays(splits, tuple(names), name=config.data.dataset)


@pytest.mark.extended
@pytest.mark.parametrize(
    'path',
    [
        path if path.stem in QUICK else pytest.param(path, marks=pytest.mark.slow)
        for path in FLAGFILES
    ],
    ids=lambda path: path.stem,
)
def test_runs_on_the_real_data(path, tmp_path):
    name = path.stem.partition('_')[0]
    data = [] if name == 'digits' else [real_data(DATA_DIRS.get(name, name))]
    done = launch(
        'train',
        f'--flagfile={path}',
        *(f'--data_dir={directory}' for directory in data),
        '--epochs=0',
        '--warmup=0',
        '--lookahead=',
        '--max_steps=2',
        '--noexport',
        f'--model_dir={tmp_path}/run',
        # Slow next to other work: some average six views of 10,000 test images.
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    written = lines(tmp_path / 'run' / 'metrics.jsonl')
    assert written[-1]['split'] in ('validation', 'test')
    assert written[-1]['step'] == 2
