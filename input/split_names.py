"""The names by which people call the splits of a dataset."""

import re

_NAMES = {
    'train': ('train', 'training'),
    'validation': ('validation', 'valid', 'val', 'dev'),
    'test': ('test', 'testing', 'test1'),
}


def canonical(name):
    """Returns 'train', 'validation' or 'test' for a known name, else None."""
    for split, names in _NAMES.items():
        if name.lower() in names:
            return split
    return None


def hinted(name):
    """Returns the split that a part of a name speaks of ('seg_train'), else None."""
    parts = map(canonical, re.split(r'[-_. ]', name))
    return canonical(name) or next(filter(None, parts), None)
