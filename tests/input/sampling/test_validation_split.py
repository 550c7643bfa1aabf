"""Which training examples are held out: by hash, but never all of a class."""

import numpy as np
import pytest

from input.formats.arrays import from_arrays
from input.formats.image_folder import image_folder
from input.formats.tfrecord import tfrecord
from input.sampling.stateless_random import is_validation_example
from input.sampling.validation_split import held_out
from input.sources.records import record_ids
from input.tfrecord.files import Shard
from input.validate.directory import DirectoryScan
from tests.helpers.images import class_directories
from tests.helpers.record_examples import example, png, write_shard


def test_frequent_classes_are_divided_by_hash_alone():
    ids = np.arange(1000)
    out = held_out(ids, 0.2, ids % 3)
    np.testing.assert_array_equal(out, is_validation_example(ids, 0.2))


def test_a_class_that_would_be_emptied_keeps_one_example():
    ids = np.arange(200)
    by_hash = is_validation_example(ids, 0.3)
    rare = np.flatnonzero(by_hash)[:3]
    labels = np.where(np.isin(ids, rare), 1, 0)
    out = held_out(ids, 0.3, labels)
    assert (by_hash & ~out).sum() == 1 and not (out & ~by_hash).any()
    assert labels[by_hash & ~out] == [1]
    # It does not depend on the order.
    order = np.random.default_rng(0).permutation(200)
    np.testing.assert_array_equal(held_out(ids[order], 0.3, labels[order]), out[order])
    # Nor is a class affected that has others.
    np.testing.assert_array_equal(held_out(ids, 0.3, None), by_hash)


def _record(number, label):
    return example(image__encoded=png(number), image__class__label=label)


def _rare_record(fraction, name, count=40):
    """Returns the number of a record that the hash would hold out."""
    out = is_validation_example(record_ids(Shard(name, count)), fraction)
    return int(np.flatnonzero(out)[0])


def test_records_keep_one_example_of_a_rare_class(tmp_path):
    rare = _rare_record(0.2, 'train.tfrecord')
    examples = [_record(n, 2 if n == rare else n % 2) for n in range(40)]
    write_shard(tmp_path / 'train.tfrecord', examples)
    source = tfrecord(str(tmp_path), validation_split=0.2)
    train, validation = source.labels('train'), source.labels('validation')
    assert source.num_examples == {'train': len(train), 'validation': len(validation)}
    assert len(train) + len(validation) == 40
    assert train.tolist().count(2) == 1 and 2 not in validation
    # Without the rare class the others are where they were.
    examples[rare] = _record(rare, 0)
    write_shard(tmp_path / 'train.tfrecord', examples)
    before = tfrecord(str(tmp_path), validation_split=0.2)
    assert before.num_examples['validation'] == len(validation) + 1


def test_directories_and_arrays_keep_one_example_of_a_rare_class(tmp_path):
    class_directories(str(tmp_path), {'a': 9, 'b': 9, 'c': 1, 'd': 1, 'e': 1})
    source = image_folder(str(tmp_path), validation_split=0.6)
    assert source.class_counts('train').min() == 1
    assert source.class_counts('validation')[2:].sum() == 0
    scan = DirectoryScan(str(tmp_path), validation_split=0.6)
    assert {s: len(x) for s, x in scan.examples.items()} == source.num_examples
    labels = np.array([0] * 10 + [1] * 10 + [2, 3, 4, 5])
    arrays = {'train': (np.zeros([24, 2, 2, 1], np.uint8), labels)}
    found = from_arrays(arrays, validation_split=0.6)
    assert found.class_counts('train').min() == 1
    assert found.num_examples['validation'] > 0


@pytest.mark.parametrize('split', ['train', 'validation'])
def test_classes_without_an_example_are_found(tmp_path, split):
    images = np.zeros([6, 2, 2, 1], np.uint8)
    arrays = {split: (images, np.array([0, 5, 0, 5, 5, 0]))}
    assert from_arrays(arrays).absent_classes(split) == [1, 2, 3, 4]
    examples = [_record(n, 1 + n % 2) for n in range(6)]
    write_shard(tmp_path / 'train.tfrecord', examples)
    write_shard(tmp_path / 'validation.tfrecord', examples)
    assert tfrecord(str(tmp_path)).absent_classes(split) == [0]
    assert tfrecord(str(tmp_path), label_offset=1).absent_classes(split) == []
