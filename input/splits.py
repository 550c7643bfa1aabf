"""The names by which people call the splits of a data set."""

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
