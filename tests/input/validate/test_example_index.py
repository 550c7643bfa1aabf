"""Duplicates and checks of class names."""

from input.validate.class_names import missing, similar, skewed
from input.validate.example_index import ExampleIndex


def index_of(*examples):
    index = ExampleIndex()
    for example in examples:
        index.add(*example)
    return index


def findings(index):
    return [(f.kind, f.where, f.detail, f.others) for f in index.duplicates()]


def test_different_examples_have_no_findings():
    assert findings(index_of()) == []
    index = index_of(('a', 'train', 'x', 1, 11), ('b', 'train', 'x', 2, 12))
    assert findings(index) == [] and len(index) == 2
    assert index.counts == {'train': {'x': 2}}


def test_examples_without_pixels_are_not_compared():
    assert findings(index_of(('a', 'train', 'x', 1, 0), ('b', 'test', 'y', 1, 0))) == []


def test_duplicates_by_bytes_and_pixels():
    index = index_of(
        ('a', 'train', 'x', 1, 11),
        ('b', 'train', 'x', 2, 12),
        ('c', 'train', 'x', 1, 11),
        ('d', 'train', 'x', 3, 12),
    )
    assert findings(index) == [
        ('duplicate', 'a', 'the same bytes as c', ('c',)),
        ('duplicate', 'b', 'the same pixels as d', ('d',)),
    ]


def test_duplicates_across_splits_and_classes():
    index = index_of(
        ('a\udcff', 'train', 'x', 1, 11),
        ('b', 'train', 'x', 1, 11),
        ('c', 'test', 'x', 1, 11),
        ('d', 'train', 'y', 2, 11),
        ('e', 'test', 'y', 7, 15),
    )
    assert findings(index) == [
        ('leak', 'a\udcff', 'the same bytes as c; 4 in all', ('b', 'c', 'd')),
        (
            'two_labels',
            'a\udcff',
            "the same pixels as d, 'y'; 4 in all",
            ('b', 'c', 'd'),
        ),
        ('duplicate', 'a\udcff', 'the same bytes as b', ('b',)),
    ]
    first = next(index.duplicates())
    assert (first.split, first.label) == ('train', 'x')


def test_similar_class_names():
    found = similar({'train': {'Cats', 'dog_house', 'bee'}, 'test': {'cats', 'bee'}})
    assert [(f.where, f.others) for f in found] == [('Cats', ('cats',))]
    (one,) = similar({'train': {'dog house', 'dog-house'}})
    assert one.where == 'dog house'
    assert not similar({'train': {'-', '_', '1', '10'}})


def test_missing_and_small_classes():
    counts = {'train': {'a': 100, 'b': 10}, 'test': {'a': 5, 'b': 0}}
    assert [(f.where, f.detail) for f in missing(counts)] == [('b', 'none in test')]
    (one,) = skewed(counts)
    assert one.where == "10 of 'b'" and '10 times' in one.detail
    assert not skewed({'train': {'a': 99, 'b': 10}})
    assert not skewed({'test': {'a': 99, 'b': 1}}) and not skewed({})
