"""`cache` does not change what a run reads."""

import os

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.config import config_json
from estimator_clf.config.config import make_config
from estimator_clf.core.errors import ConfigError
from estimator_clf.core.hardware import memory
from estimator_clf.training.data.datasets import open_source
from estimator_clf.training.saved_runs import load_config
from estimator_clf.training.trainer import train_and_evaluate
from input import DataError
from input.corrupt_images import CorruptImages
from input.formats.arrays import from_arrays
from input.formats.tfrecord import tfrecord
from input.sources import image_cache
from input.sources.base import as_numpy_batches
from input.sources.image_files import ImageFileSource
from tests.helpers.images import class_directories, encode, pixels, write
from tests.helpers.read_dataset import assert_same, evaluate, train
from tests.helpers.record_examples import example, write_shard

_COUNT = 11


@pytest.fixture(name='make', scope='module')
def _make(tmp_path_factory):
    """Function (kind of cache, dict number -> corrupt file) -> source."""

    def make(kind, corrupt=(), limit=None):
        directory = tmp_path_factory.mktemp('images')
        paths = []
        for number in range(_COUNT):
            original = pixels(20 + number, 31 - number, seed=number)
            data = dict(corrupt).get(number, encode(original, 'JPEG'))
            paths.append(write(directory / f'{number:02d}.jpg', data))
        labels = np.arange(_COUNT, dtype=np.int32) % 2
        files = {'train': (paths, labels), 'test': (paths[:5], labels[:5])}
        source = ImageFileSource('f', ('a', 'b'), (8, 9, 3), files)
        source.set_cache(kind)
        if limit:
            source.corrupt_images = CorruptImages(limit)
        return source

    return make


def _same(one, other):
    """Asserts that batches are the same, but for the directories of the keys."""
    for batches in (one, other):
        for n, (keys, *rest) in enumerate(batches):
            batches[n] = ([os.path.basename(key) for key in keys], *rest)
    assert_same(one, other)


@pytest.mark.extended
@pytest.mark.parametrize('kind', ['encoded', 'decoded'])
@pytest.mark.parametrize(
    'limit,options',
    [
        (None, {'augment': 'flip,crop(2)', 'seed': 3, 'sampling': 'balanced'}),
        (5, {'eval_crop': 0.6, 'worker': 1, 'num_workers': 2}),
    ],
    ids=str,
)
def test_cache_does_not_change_training_batches(make, kind, limit, options):
    sources = make('none', limit=limit), make(kind, limit=limit)
    _same(*[train(source, 5, 4, **options) for source in sources])


@pytest.mark.extended
@pytest.mark.parametrize('kind', ['encoded', 'decoded'])
def test_cache_does_not_change_evaluation_batches(make, kind):
    sources = make('none'), make(kind)
    for split, crop in (('train', 1.0), ('test', 0.5)):
        _same(*[evaluate(source, split, 4, eval_crop=crop) for source in sources])


@pytest.mark.extended
def test_cache_does_not_change_random_windows(make):
    sources = make('none'), make('encoded')
    options = {'augment': 'resized_crop(0.3),flip', 'start_step': 5}
    _same(*[train(source, 4, 4, **options) for source in sources])


def test_decoded_cache_refuses_resized_crop(make):
    with pytest.raises(DataError, match='`cache=decoded` cannot be combined .*encoded'):
        train(make('decoded'), 1, 4, augment='resized_crop')


@pytest.mark.extended
@pytest.mark.parametrize('kind', ['encoded', 'decoded'])
def test_cached_files_are_read_once(make, kind):
    source = make(kind)
    before = train(source, 6, 4)
    for path in source._files['train'][0]:
        os.remove(path)
    _same(train(source, 6, 4), before)


@pytest.mark.parametrize(
    'kind', [pytest.param('encoded', marks=pytest.mark.slow), 'decoded']
)
def test_cache_does_not_change_skipped_images(make, kind):
    corrupt = {2: b'this is no image', 7: b''}
    sources = make('none', corrupt, 5), make(kind, corrupt, 5)
    _same(*[train(source, 9, 4, augment='flip') for source in sources])
    _same(*[evaluate(source, 'train', 4) for source in sources])
    for source in sources:
        names = {os.path.basename(key) for key in source.corrupt_images._reasons}
        assert names == {'02.jpg', '07.jpg'}
    reasons = [list(s.corrupt_images._reasons.values()) for s in sources]
    assert sorted(reasons[0]) == sorted(reasons[1])


@pytest.mark.extended
@pytest.mark.parametrize('kind', ['encoded', 'decoded'])
def test_corrupt_image_without_a_limit_is_an_error(make, kind):
    source = make(kind, {2: b'this is no image'})
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        train(source, 3, 4)
    assert '02.jpg: neither JPEG' in source.explain(raised.value)


@pytest.mark.combinations
@pytest.mark.parametrize('kind', ['encoded', 'decoded'])
def test_cache_must_fit_into_memory(make, kind, monkeypatch):
    monkeypatch.setattr(image_cache, 'free_memory', lambda: 1000)
    message = rf'`cache={kind}` must fit into 75% .* the 16 images of .* take'
    with pytest.raises(DataError, match=message):
        make(kind)  # Before anything is read, and for all splits.
    monkeypatch.setattr(image_cache, 'free_memory', lambda: None)
    train(make(kind), 1, 4)


def test_cached_pixels_are_not_copied(make):
    """TensorFlow reads the array itself, as a change to it shows."""
    source = make('decoded')
    reading = as_numpy_batches(source.input_fn('train', 1, training=True), 500)
    assert (next(reading)[0]['image'] != 7).any()
    source._pixels('train', 1.0)[0][:] = 7
    # Some batches were prefetched.
    assert any((features['image'] == 7).all() for features, _ in reading)


@pytest.mark.extended
@pytest.mark.parametrize('crop', [1.0, 0.5])
def test_pixels_are_cached_once(make, crop):
    source = make('decoded')
    assert len(source.info.mean) == 3  # Of a sample, read without the cache.
    list(
        as_numpy_batches(source.input_fn('train', 2, training=True, eval_crop=crop), 3)
    )
    assert list(source._cache) == [('train', crop)]


def test_free_memory():
    free = memory.free_memory()
    with open('/proc/meminfo', encoding='ascii') as file:
        total = int(file.readline().split()[1]) * 1024
    assert 0 < free < total


def test_control_groups_limit_free_memory(tmp_path, monkeypatch):
    """The process's own group, and those that contain it."""
    own = tmp_path / 'job' / 'step'
    own.mkdir(parents=True)
    for directory, most in ((own, 5000), (tmp_path, 4000)):
        for name, text in (
            ('memory.max', str(most)),
            ('memory.current', '3000'),
            ('memory.stat', 'anon 1\ninactive_file 500\n'),
        ):
            (directory / name).write_text(text)
    names = ('memory.max', 'memory.current', 'inactive_file')
    monkeypatch.setattr(memory, '_CONTROL_GROUPS', (('x', str(tmp_path), *names),))
    monkeypatch.setattr(memory, '_paths', lambda: {'x': '/job/step'})
    assert memory.free_memory() == 1500
    (tmp_path / 'memory.max').write_text('max')
    assert memory.free_memory() == 2500
    (own / 'memory.max').write_text('max')
    assert memory.free_memory() > 5000


def test_cache_of_other_formats(tmp_path):
    arrays = np.zeros([4, 3, 3, 1], np.uint8), np.array([0, 1, 0, 1], np.int32)
    from_arrays({'train': arrays}, ['a', 'b']).set_cache('decoded')
    records = [
        example(image__encoded=encode(pixels(), 'PNG'), image__class__label=n)
        for n in range(2)
    ]
    write_shard(tmp_path / 'train-00000-of-00001', records)
    write(tmp_path / 'labels.txt', b'a\nb\n')
    source = tfrecord(str(tmp_path), image_size='8', channels=3)
    source.set_cache('none')
    with pytest.raises(DataError, match='`cache=decoded` is for images in files'):
        source.set_cache('decoded')


@pytest.mark.extended
@pytest.mark.parametrize('kind', ['encoded', 'decoded'])
def test_config_sets_the_cache(kind, tmp_path):
    class_directories(tmp_path, {'a': 4, 'b': 4})
    config = make_config(dataset='image_folder', data_dir=str(tmp_path), cache=kind)
    source = open_source(config)
    train(source, 1, 4)
    for path in source._files['train'][0]:
        os.remove(path)
    train(source, 3, 4)


@pytest.mark.extended
@pytest.mark.parametrize('kind', ['encoded', 'decoded'])
def test_resumed_run_with_cache_equals_run_without(kind, tmp_path):
    class_directories(tmp_path / 'data', {'a': 6, 'b': 6})
    metrics = []
    for cache, legs in (('none', [4]), (kind, [2, 4])):
        for max_steps in legs:
            config = make_config(
                dataset='image_folder',
                data_dir=str(tmp_path / 'data'),
                validation_split=0.3,
                network='linear',
                batch_size=4,
                max_steps=max_steps,
                cache=cache,
                export=False,
                model_dir=str(tmp_path / cache),
            )
            results = train_and_evaluate(config)
        metrics.append(results.metrics)
    assert metrics[0] == metrics[1] and metrics[0]['validation']


def test_loaded_config_disables_caches(tmp_path):
    config = make_config(cache='decoded', cache_features=True)
    (tmp_path / 'config.json').write_text(config_json.to_json(config))
    config = load_config(str(tmp_path), eval_tta='mirror')
    assert config.data.cache == 'none' and not config.optimization.cache_features
    assert config.evaluation.eval_tta == 'mirror'


def test_loaded_config_checks_export_tta(tmp_path):
    config = make_config(eval_tta='mirror', export_tta=True)
    (tmp_path / 'config.json').write_text(config_json.to_json(config))
    assert load_config(str(tmp_path)).exports.export_tta
    assert not load_config(str(tmp_path), eval_tta='none').exports.export_tta
    with pytest.raises(ConfigError, match='`export_tta` requires `eval_tta`'):
        load_config(str(tmp_path), eval_tta='none', export_tta=True)
