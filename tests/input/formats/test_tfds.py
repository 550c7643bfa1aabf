"""TensorFlow Datasets, with datasets built here, without downloads."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import input as data
from estimator_clf.core.errors import DataError
from input.sources.base import as_numpy_batches

_ROOT = str(pathlib.Path(__file__).resolve().parents[3])


def _builder(tfds, name, features, keys, example, counts, data_dir, **options):
    """Builds a dataset of `counts` examples per split, without a download."""

    def info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=keys,
        )

    content = {
        'VERSION': tfds.core.Version('1.0.0'),
        '__module__': __name__,
        '_info': info,
        '_split_generators': lambda self, _: {
            split: self._generate_examples(split, n) for split, n in counts.items()
        },
        '_generate_examples': lambda self, split, n: (
            (f'{split}{i}', example(i)) for i in range(n)
        ),
    }
    base = tfds.core.GeneratorBasedBuilder
    made = type(name.title().replace('_', ''), (base,), content)(
        data_dir=data_dir, **options
    )
    made.download_and_prepare()


@pytest.fixture(name='directory', scope='module')
def _built(tmp_path_factory):
    from input.formats.tfds import _import

    tfds = _import()
    directory = str(tmp_path_factory.mktemp('tfds'))
    image = tfds.features.Image(shape=(6, 5, 3))
    label = tfds.features.ClassLabel(names=['ant', 'bee', 'cat'])

    def example(i):
        return {
            'image': np.full([6, 5, 3], i, np.uint8),
            'label': i % 3,
            'note': 'some text',
        }

    _builder(
        tfds,
        'tiny_images',
        {'image': image, 'label': label, 'note': tfds.features.Text()},
        ('image', 'label'),
        example,
        {'train': 20, 'val': 4, 'test': 6},
        directory,
    )
    _builder(
        tfds,
        'no_labels',
        {'image': tfds.features.Image(shape=(None, None, 1)), 'x': np.int64},
        None,
        lambda i: {'image': np.zeros([3, 3, 1], np.uint8), 'x': i},
        {'train': 3},
        directory,
    )
    _builder(
        tfds,
        'any_size',
        {'image': tfds.features.Image(), 'kind': label},
        None,
        lambda i: {'image': np.full([4, 7, 3], i, np.uint8), 'kind': i % 3},
        {'train': 6},
        directory,
    )
    return directory


def _open(directory, name='tiny_images', **options):
    return data.open_dataset(f'tfds:{name}', directory, **options)


def _values(source, split):
    size = source.num_examples[split]
    ((features, labels),) = as_numpy_batches(source.input_fn(split, size))
    return features['image'][:, 0, 0, 0].tolist(), labels.tolist()


def test_splits_classes_and_shape(directory):
    source = _open(directory)
    assert source.num_examples == {'train': 20, 'validation': 4, 'test': 6}
    assert source.class_names == ('ant', 'bee', 'cat')
    assert source.image_shape == (6, 5, 3)
    assert source.name == 'tfds:tiny_images'


def test_pixels_and_labels(directory):
    values, labels = _values(_open(directory), 'train')
    assert sorted(values) == list(range(20))
    assert labels == [v % 3 for v in values]


def test_keys_name_file_and_record(directory):
    keys = [key for key, _, _ in _open(directory).encoded('test')]
    assert keys[2] == 'tiny_images-test.tfrecord-00000-of-00001:2'


def test_with_config_and_version(directory):
    assert _open(directory, 'tiny_images:1.0.0').num_examples['test'] == 6
    with pytest.raises(DataError, match='9.0.0'):
        _open(directory, 'tiny_images:9.0.0')


def test_training_resumes(directory):
    source = _open(directory, shuffle_buffer=4)

    def keys(steps, **options):
        input_fn = source.input_fn('train', 6, training=True, **options)
        return [f['key'].tolist() for f, _ in as_numpy_batches(input_fn, steps)]

    whole = keys(10)
    assert len(set(sum(whole, [])[:20])) == 20
    assert keys(3, start_step=7) == whole[7:]


@pytest.mark.extended
def test_slices(directory):
    source = _open(directory, train_split='train[:80%]', eval_split='train[80%:]')
    assert source.num_examples == {
        'train[:80%]': 16,
        'validation': 4,
        'test': 6,
        'train[80%:]': 4,
    }
    train, _ = _values(source, 'train[:80%]')
    held, _ = _values(source, 'train[80%:]')
    assert sorted(train + held) == list(range(20))
    assert abs(source.info.mean[0] - np.mean(train)) < 1e-6


def test_overlapping_or_unknown_slices_are_refused(directory):
    with pytest.raises(
        DataError, match='must not overlap; both contain records 15 to 19'
    ):
        _open(directory, train_split='train', eval_split='train[75%:]')
    with pytest.raises(DataError, match="no split 'dev'; it has: "):
        _open(directory, eval_split='dev')
    with pytest.raises(DataError, match='cannot be combined with `train_split'):
        _open(directory, train_split='train[:50%]', validation_split=0.1)


@pytest.mark.extended
def test_validation_split(directory):
    with pytest.raises(DataError, match='has a validation split already'):
        _open(directory, validation_split=0.3)
    source = _open(directory, 'any_size', validation_split=0.4)
    assert sum(source.num_examples.values()) == 6
    train, _ = _values(source, 'train')
    held, _ = _values(source, 'validation')
    assert sorted(train + held) == list(range(6))


def test_without_supervised_keys_and_of_unknown_size(directory):
    source = _open(directory, 'any_size')
    assert source.image_shape == (4, 7, 3)
    assert _open(directory, 'any_size', image_size=9, channels=1).image_shape == (
        9,
        9,
        1,
    )


def test_dataset_without_labels_is_refused(directory):
    with pytest.raises(DataError, match='one Image and one ClassLabel .* x '):
        _open(directory, 'no_labels')


def test_unknown_name_is_refused(directory):
    with pytest.raises(DataError, match="has no 'mnits'.*did you mean 'mnist'"):
        _open(directory, 'mnits')


def test_failed_download_is_reported(directory, monkeypatch):
    from input.formats.tfds import _import

    def fail(self, *args, **kwargs):
        raise ConnectionError('no way out')

    monkeypatch.setattr(_import().core.DatasetBuilder, 'download_and_prepare', fail)
    with pytest.raises(DataError, match='failed: ConnectionError: no way out'):
        _open(directory, 'mnist')


def test_other_file_format_is_refused(tmp_path):
    from input.formats.tfds import _import

    tfds = _import()
    _builder(
        tfds,
        'array_records',
        {'image': tfds.features.Image(), 'label': tfds.features.ClassLabel(names='ab')},
        ('image', 'label'),
        lambda i: {'image': np.zeros([3, 3, 3], np.uint8), 'label': 0},
        {'train': 2},
        str(tmp_path),
        file_format='array_record',
    )
    with pytest.raises(DataError, match='but in .* it is in array_record'):
        _open(str(tmp_path), 'array_records')


def test_truncated_shard_is_refused(tmp_path, directory):
    import shutil

    shutil.copytree(directory, tmp_path / 'copy')
    path = tmp_path / 'copy/tiny_images/1.0.0/tiny_images-train.tfrecord-00000-of-00001'
    os.truncate(path, path.stat().st_size - 3)
    with pytest.raises(DataError, match='is cut short, in record 19'):
        _open(str(tmp_path / 'copy'))
    path.unlink()
    with pytest.raises(DataError, match='is missing'):
        _open(str(tmp_path / 'copy'))


@pytest.mark.extended
def test_fresh_process_logs_nothing_else(directory):
    program = (
        'import input, sys\n'
        'source = input.open_dataset("tfds:tiny_images", sys.argv[1])\n'
        'print(source.num_examples["train"], source.info.mean)\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', program, directory],
        capture_output=True,
        text=True,
        env=dict(os.environ, PYTHONPATH=f'{_ROOT}:{os.environ.get("PYTHONPATH", "")}'),
        check=False,
    )
    assert done.stdout.startswith('20 (9.5, 9.5, 9.5)'), done.stderr
    assert 'WARNING' not in done.stderr.replace(
        'WARNING: All log messages before absl::InitializeLog() is called', ''
    )
    assert 'Traceback' not in done.stderr


def test_splits_that_overlap_training_are_dropped(directory):
    assert set(_open(directory, train_split='train+test').num_examples) == {
        'train+test',
        'validation',
    }
    assert set(_open(directory, train_split='test[:50%]').num_examples) == {
        'test[:50%]',
        'validation',
    }
