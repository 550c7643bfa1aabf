"""Which examples are the same."""

from input.validate.class_names import missing, similar, skewed
from input.validate.example_index import ExampleIndex


def ledger(*examples):
    book = ExampleIndex()
    for example in examples:
        book.add(*example)
    return book


def told(book):
    return [(f.kind, f.where, f.detail, f.others) for f in book.same()]


def test_nothing_is_the_same():
    assert told(ledger()) == []
    book = ledger(('a', 'train', 'x', 1, 11), ('b', 'train', 'x', 2, 12))
    assert told(book) == [] and len(book) == 2
    assert book.counts == {'train': {'x': 2}}


def test_what_has_no_pixels_is_not_compared():
    assert told(ledger(('a', 'train', 'x', 1, 0), ('b', 'test', 'y', 1, 0))) == []


def test_bytes_and_pixels():
    book = ledger(
        ('a', 'train', 'x', 1, 11),
        ('b', 'train', 'x', 2, 12),
        ('c', 'train', 'x', 1, 11),
        ('d', 'train', 'x', 3, 12),
    )
    assert told(book) == [
        ('duplicate', 'a', 'the same bytes as c', ('c',)),
        ('duplicate', 'b', 'the same pixels as d', ('d',)),
    ]


def test_splits_and_classes():
    book = ledger(
        ('a\udcff', 'train', 'x', 1, 11),
        ('b', 'train', 'x', 1, 11),
        ('c', 'test', 'x', 1, 11),
        ('d', 'train', 'y', 2, 11),
        ('e', 'test', 'y', 7, 15),
    )
    assert told(book) == [
        ('leak', 'a\udcff', 'the same bytes as c; 4 in all', ('b', 'c', 'd')),
        (
            'two_labels',
            'a\udcff',
            "the same pixels as d, 'y'; 4 in all",
            ('b', 'c', 'd'),
        ),
        ('duplicate', 'a\udcff', 'the same bytes as b', ('b',)),
    ]
    first = next(book.same())
    assert (first.split, first.label) == ('train', 'x')


def test_names_that_mean_one_class():
    found = similar({'train': {'Cats', 'dog_house', 'bee'}, 'test': {'cats', 'bee'}})
    assert [(f.where, f.others) for f in found] == [('Cats', ('cats',))]
    (one,) = similar({'train': {'dog house', 'dog-house'}})
    assert one.where == 'dog house'
    assert not similar({'train': {'-', '_', '1', '10'}})


def test_classes_that_are_missing_or_small():
    counts = {'train': {'a': 100, 'b': 10}, 'test': {'a': 5, 'b': 0}}
    assert [(f.where, f.detail) for f in missing(counts)] == [('b', 'none in test')]
    (one,) = skewed(counts)
    assert one.where == "10 of 'b'" and '10 times' in one.detail
    assert not skewed({'train': {'a': 99, 'b': 10}})
    assert not skewed({'test': {'a': 99, 'b': 1}}) and not skewed({})
