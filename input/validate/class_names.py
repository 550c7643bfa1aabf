"""Checks the names and sizes of classes."""

import re
import unicodedata
from collections.abc import Collection, Mapping

from input.validate.report import Finding

# Beyond this ratio accuracy is not meaningful, and small classes are hardly learned.
_SKEWED = 10


def similar(classes: Mapping[str, Collection[str]]) -> list[Finding]:
    """Finds names that probably denote the same class.

    Args:
      classes: dict split -> names.
    """
    alike: dict[str, dict[str, str]] = {}
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


def missing(counts: Mapping[str, Mapping[str, int]]) -> list[Finding]:
    """Finds classes of the training split without images in another split.

    Args:
      counts: dict split -> dict class -> number of examples.
    """
    findings = []
    for split, of_split in counts.items():
        for name in sorted(counts.get('train', ())):
            if not of_split.get(name):
                findings.append(
                    Finding('missing_class', name, f'none in {split}', split, name)
                )
    return findings


def skewed(counts: Mapping[str, Mapping[str, int]]) -> list[Finding]:
    """Finds very different sizes of the classes of the training split.

    Args:
      counts: see `missing`.

    Returns:
      One finding, or none.
    """
    train = {name: n for name, n in counts.get('train', {}).items() if n}
    if not train:
        return []
    small, large = min(train, key=train.__getitem__), max(train, key=train.__getitem__)
    ratio = train[large] / train[small]
    if ratio < _SKEWED:
        return []
    detail = f'{train[large]} of {large!r}: {ratio:.0f} times as many'
    where = f'{train[small]} of {small!r}'
    return [Finding('imbalance', where, detail, 'train', small, (large,))]


def _plain(name: str) -> str:
    text = unicodedata.normalize('NFKC', name).casefold()
    return re.sub(r'[\s_\-.]+', '', text) or name
