"""Common names of the splits of a dataset."""

import re

_NAMES = {
    'train': ('train', 'training'),
    'validation': ('validation', 'valid', 'val', 'dev'),
    'test': ('test', 'testing', 'test1'),
}


def canonical(name: str) -> str | None:
    """Returns 'train', 'validation' or 'test' for a known name, else None."""
    for split, names in _NAMES.items():
        if name.lower() in names:
            return split
    return None


def hinted(name: str) -> str | None:
    """Returns the split that a part of a name denotes ('seg_train'), else None."""
    parts = map(canonical, re.split(r'[-_. ]', name))
    return canonical(name) or next(filter(None, parts), None)
