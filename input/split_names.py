"""Common names of the splits of a dataset."""

import re

_NAMES = {
    'train': ('train', 'training'),
    'validation': ('validation', 'valid', 'val', 'dev'),
    'test': ('test', 'testing', 'test1'),
}

# Words next to a split's name that do not name a class: train_images, TestSet.
_GENERIC = {
    *('', 'set', 'data', 'dataset', 'split', 'files', 'dir'),
    *('image', 'images', 'img', 'imgs', 'photo', 'photos', 'pics', 'jpg', 'jpeg'),
    *('png', 'full', 'all', 'new', 'final', 'sample', 'samples', 'examples'),
}
_JOINED = re.compile(
    '(train|training|validation|valid|val|dev|test|testing)'
    '(set|data|images?|imgs?|split|[0-9]+)'
)


def canonical(name: str) -> str | None:
    """Returns 'train', 'validation' or 'test' for a known name, else None."""
    for split, names in _NAMES.items():
        if name.lower() in names:
            return split
    return None


def hinted(name: str) -> str | None:
    """Returns the split that a part of a name denotes ('seg_train'), else None."""
    return canonical(name) or next(filter(None, map(canonical, _parts(name))), None)


def remainder(name: str) -> str | None:
    """Returns what the name of a split contains apart from the split.

    Returns:
      '' for 'train', 'train_images' and 'TestSet'; 'seg' for 'seg_train'; None for a
      name that denotes no split.
    """
    if not hinted(name):
        return None
    if canonical(name):
        return ''
    parts = _parts(name)
    parts.remove(next(filter(canonical, parts)))
    rest = [p for p in parts if p not in _GENERIC and not p.isdigit()]
    return '_'.join(rest)


def _parts(name: str) -> list[str]:
    spaced = re.sub(r'([a-z0-9])([A-Z])', r'\1_\2', name)
    parts: list[str] = []
    for part in re.split(r'[-_. ]', spaced):
        joined = _JOINED.fullmatch(part.lower())
        parts += joined.groups() if joined else [part.lower()]
    return parts
