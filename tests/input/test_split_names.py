"""Names of splits."""

import pytest

from input.split_names import canonical, hinted, remainder


@pytest.mark.parametrize(
    'name,split',
    [
        ('train', 'train'),
        ('Training', 'train'),
        ('val', 'validation'),
        ('VALID', 'validation'),
        ('dev', 'validation'),
        ('validation', 'validation'),
        ('test', 'test'),
        ('test1', 'test'),
        ('Testing', 'test'),
        ('trains', None),
        ('cats', None),
        ('', None),
    ],
)
def test_canonical(name, split):
    assert canonical(name) == split


@pytest.mark.parametrize(
    'name,split,rest',
    [
        ('train', 'train', ''),
        ('seg_train', 'train', 'seg'),
        ('Test-Images', 'test', ''),
        ('TrainSet', 'train', ''),
        ('valset', 'validation', ''),
        ('test_tubes', 'test', 'tubes'),
        ('trains', None, None),
        ('contest', None, None),
    ],
)
def test_hinted_and_remainder(name, split, rest):
    assert (hinted(name), remainder(name)) == (split, rest)
