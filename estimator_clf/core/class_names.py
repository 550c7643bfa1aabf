"""Rules for the names of classes, and their order; the same for all programs."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from estimator_clf.core.call_syntax import quote

# Categories of Unicode that end a line or control a device: the names are lines of
# labels.txt and cells of tables. All other characters are allowed, also no-break
# spaces and joiners, which words of many scripts and emoji contain.
_CONTROL = ('Cc', 'Zl', 'Zp')


def name_fault(name: str) -> str | None:
    """Returns why a text cannot be the name of a class, or None."""
    if not name.strip():
        return 'is empty'
    try:
        name.encode()
    except UnicodeEncodeError:
        return 'is not valid UTF-8'
    for character in name:
        if unicodedata.category(character) in _CONTROL:
            return f'contains the control character U+{ord(character):04X}'
    return None


def names_fault(names: Sequence[str]) -> str | None:
    """Returns what is wrong with the names of the classes of a dataset, or None.

    Args:
      names: in the order of the labels; two or more, each valid by `name_fault`, and no
        two the same text, also after Unicode normalization.
    """
    if len(names) < 2:
        return (
            'a classifier needs at least two classes, got '
            + (f'only {names[0]!r}' if names else 'none')
        )  # fmt: skip
    known: dict[str, int] = {}
    for number, name in enumerate(names):
        fault = name_fault(name)
        if fault:
            return f'the name of class {number}, {name!r}, {fault}'
        normal = normalized(name)
        if normal in known:
            first = known[normal]
            return (
                f'the classes {first} and {number} have the same name, '
                f'{how_they_differ(names[first], name)}'
            )
        known[normal] = number
    return None


def normalized(name: str) -> str:
    """Returns the composed form (NFC) of a name: 'e' and an accent are one letter."""
    return unicodedata.normalize('NFC', name)


def how_they_differ(one: str, other: str) -> str:
    """Shows two names that are equal after Unicode normalization."""
    if one == other:
        return repr(one)
    return (
        f'{one!r}, in different Unicode normalization: {ascii(one)} and {ascii(other)}'
    )


def find_class(name: str, names: Sequence[str]) -> int | None:
    """Returns the number of a class by its name in any Unicode normalization."""
    if name in names:
        return list(names).index(name)
    return next(
        (n for n, known in enumerate(names) if normalized(known) == normalized(name)),
        None,
    )


def listed(names: Sequence[str], most: int = 20) -> str:
    """Returns names as a list that `call_syntax.parse_list` reads, abbreviated."""
    return ', '.join(map(quote, names[:most])) + (', …' if len(names) > most else '')


def natural_order(names: Iterable[str]) -> list[str]:
    """Sorts names, with the numbers in them by value: 1, 2, 10."""

    names = list(names)
    runs = [run for name in names for run in re.findall('[0-9]+', name)]
    width = max(map(len, runs), default=0)

    # Of one length, numbers sort by value, and compare with letters as before.
    def key(name):
        return re.sub('[0-9]+', lambda run: run[0].zfill(width), name), name

    return sorted(names, key=key)
