"""What the classes are called and how large they are."""

import re
import unicodedata

from input.validate.report import Finding

# From here on accuracy says little, and plain training learns the large classes only.
_SKEWED = 10


def similar(classes):
    """Finds names that mean one class, in all likelihood.

    Args:
      classes: dict split -> set of names.

    Returns:
      List of `Finding`.
    """
    alike = {}
    for split, names in classes.items():
        for name in names:
            alike.setdefault(_plain(name), {}).setdefault(name, split)
    findings = []
    for group in alike.values():
        first, *rest = sorted(group)
        if rest:
            detail = 'and ' + ', '.join(repr(name) for name in rest)
            findings.append(
                Finding(
                    'similar_names', first, detail, group[first], first, tuple(rest)
                )
            )
    return sorted(findings, key=lambda finding: finding.where)


def missing(counts):
    """Finds classes of the training split that another split has no image of.

    Args:
      counts: dict split -> dict class -> number of examples.

    Returns:
      List of `Finding`.
    """
    findings = []
    for split, there in counts.items():
        for name in sorted(counts.get('train', ())):
            if not there.get(name):
                findings.append(
                    Finding('missing_class', name, f'none in {split}', split, name)
                )
    return findings


def skewed(counts):
    """Finds out whether the classes to train on are of very different sizes.

    Args:
      counts: see `missing`.

    Returns:
      List of one `Finding`, or of none.
    """
    train = {name: n for name, n in counts.get('train', {}).items() if n}
    if not train:
        return []
    small, large = min(train, key=train.get), max(train, key=train.get)
    ratio = train[large] / train[small]
    if ratio < _SKEWED:
        return []
    detail = f'{train[large]} of {large!r}: {ratio:.0f} times as many'
    where = f'{train[small]} of {small!r}'
    return [Finding('imbalance', where, detail, 'train', small, (large,))]


def _plain(name):
    text = unicodedata.normalize('NFKC', name).casefold()
    return re.sub(r'[\s_\-.]+', '', text) or name
