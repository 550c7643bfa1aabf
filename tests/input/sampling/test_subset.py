"""Subsets of classes and examples, for every kind of source."""

import numpy as np
import pytest

from input import DataError, open_dataset
from input.convert.to_tfrecords import convert
from input.formats.csv import from_values
from input.sampling.subset import Subset, select
from input.sources.base import as_numpy_batches
from tests.helpers.images import class_directories

COUNTS = {'ant': 5, 'bee': 9, 'cat': 7, 'dog': 8}


def _directory(tmp_path):
    for split in ('train', 'test'):
        class_directories(str(tmp_path / 'images' / split), COUNTS)
    return {'name': 'image_folder', 'data_dir': str(tmp_path / 'images')}


def _arrays(tmp_path):
    labels = np.repeat(np.arange(4), list(COUNTS.values()))
    images = np.zeros((len(labels), 8, 8, 3), np.uint8)
    images[:] = np.arange(len(labels), dtype=np.uint8)[:, None, None, None]
    path = str(tmp_path / 'arrays.npz')
    np.savez(
        path,
        x_train=images,
        y_train=labels,
        x_test=images,
        y_test=labels,
        class_names=np.array(list(COUNTS)),
    )
    return {'name': 'arrays', 'data_dir': path}


def _records(tmp_path):
    convert(_directory(tmp_path), tmp_path / 'records', shards=3)
    return {'name': 'tfrecord', 'data_dir': str(tmp_path / 'records')}


KINDS = pytest.mark.parametrize('make', [_directory, _arrays, _records])


def _seen(source, split, **options):
    """Returns the sorted (first pixel of the image, class name) of a split."""
    size = source.num_examples[split]
    options = options or {'training': False}
    features, labels = next(
        iter(as_numpy_batches(source.input_fn(split, size, **options), 1))
    )
    return sorted(
        (int(x[0, 0, 0]), source.class_names[y])
        for x, y in zip(features['image'], labels, strict=True)
    )


@pytest.mark.extended
@KINDS
def test_classes_are_renumbered_and_keep_their_names(make, tmp_path):
    args = make(tmp_path)
    everything = _seen(open_dataset(**args), 'train')
    chosen = Subset(classes=('dog', 'bee'))
    source = open_dataset(**args, selection=chosen)
    names = source.class_names
    assert names == ('bee', 'dog')
    assert source.num_examples == {'train': 17, 'test': 17}
    assert source.class_counts('train').tolist() == [9, 8]
    expected = [x for x in everything if x[1] in names]
    assert _seen(source, 'train') == _seen(source, 'test') == expected
    # Shuffled, an epoch has each example once.
    assert _seen(source, 'train', training=True, seed=3) == expected
    assert source.info.num_classes == 2
    encoded = [label for _, _, label in source.encoded('test')]
    assert sorted(encoded) == [0] * 9 + [1] * 8
    others = open_dataset(**args, selection=Subset(exclude=('dog', 'bee')))
    assert others.class_names == ('ant', 'cat')
    assert sorted(_seen(others, 'train') + expected) == everything


@pytest.mark.extended
@KINDS
def test_per_class_limits_training_examples(make, tmp_path):
    args = make(tmp_path)

    def seen(count, seed):
        source = open_dataset(**args, selection=Subset(per_class=count, seed=seed))
        assert source.class_counts('train').tolist() == [count] * 4
        assert source.class_counts('test').tolist() == list(COUNTS.values())
        return _seen(source, 'train')

    three = seen(3, 0)
    assert three == seen(3, 0) != seen(3, 1)
    assert set(three) < set(seen(5, 0)) < set(_seen(open_dataset(**args), 'train'))


def test_subset_does_not_move_held_out_examples(tmp_path):
    args = {**_arrays(tmp_path)}
    np.savez(
        args['data_dir'],
        x_train=np.arange(200, dtype=np.uint8)[:, None, None, None].repeat(3, -1),
        y_train=np.arange(200) % 4,
    )
    whole = open_dataset(**args, validation_split=0.3)
    part = open_dataset(
        **args,
        validation_split=0.3,
        selection=Subset(classes=('1', '3'), per_class=20),
    )
    assert {x for x, _ in _seen(part, 'validation')} == {
        x for x, name in _seen(whole, 'validation') if name in ('1', '3')
    }
    assert {x for x, _ in _seen(part, 'train')} < {x for x, _ in _seen(whole, 'train')}
    assert part.num_examples['train'] == 40


@pytest.mark.parametrize(
    'selection, words',
    [
        (Subset(classes=('bee', 'dgo')), "no class 'dgo'; did you mean 'dog'?"),
        (Subset(exclude=('x',)), "`exclude_classes`: .* no class 'x'"),
        (Subset(classes=('bee',)), 'at least two classes, they leave: bee'),
        (Subset(per_class=6), "at most the 5 examples of 'ant' in the split"),
    ],
)
def test_invalid_subsets_are_refused(selection, words, tmp_path):
    with pytest.raises(DataError, match=words):
        open_dataset(**_arrays(tmp_path), selection=selection)


def test_regression_data_are_refused():
    source = from_values({'train': (np.zeros(4), np.zeros(4))})
    with pytest.raises(DataError, match='has only numbers'):
        select(source, Subset(per_class=1))
