"""Names of splits."""

import pytest

from input.split_names import canonical


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
