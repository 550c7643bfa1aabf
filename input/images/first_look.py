"""Looks at a few files of each class before anything is trained on.

A class without a single image that can be decoded, or a whole dataset of another kind,
is a fault to be named once, and not one corrupt image after another.
"""

import collections
import os
from collections.abc import Mapping, Sequence

import numpy as np

from estimator_clf.core.errors import DataError
from input.images.file_kind import HEAD, describe, name_of

# Files of each class, and classes, that are looked at. Where all files of a class are
# of another kind, more of them are.
_FILES, _CLASSES, _MORE = 3, 128, 100


def check_first_files(
    root: str,
    files: Mapping[str, tuple[Sequence[str], np.ndarray]],
    class_names: Sequence[str],
) -> None:
    """Checks that each class of each split has an image that may be decoded.

    Args:
      root: the directory, for messages.
      files: dict split -> (paths, labels int32 [N]).
      class_names: names in the order of the labels.

    Raises:
      DataError: a class whose files are all of another kind.
    """
    classes = 0
    without: list[tuple[str, int, list[tuple[str, bytes]]]] = []
    for split, (paths, labels) in files.items():
        order = np.argsort(labels, kind='stable')
        numbers, starts = np.unique(labels[order], return_index=True)
        ends = np.append(starts[1:], len(order))
        for place in range(0, len(numbers), -(-len(numbers) // _CLASSES)):
            classes += 1
            members = order[starts[place] : ends[place]]
            if not _all_of_another_kind(paths, members[:_FILES]):
                continue
            found = _all_of_another_kind(paths, members[:_MORE])
            if found:
                without.append((split, int(numbers[place]), found))
    if not without:
        return
    path, head = without[0][2][0]
    example = f'{path}: {describe(head)}'
    if len(without) == classes:
        heads = [head for _, _, found in without for _, head in found]
        kinds = collections.Counter(name_of(head) or 'unknown' for head in heads)
        listed = ', '.join(f'{n} {kind}' for kind, n in kinds.most_common(4))
        raise DataError(
            f'None of the {len(heads)} files of {root} that were looked at is an image '
            f'that can be decoded ({listed}): {example}'
        )
    split, number, found = without[0]
    raise DataError(
        f'The class {class_names[number]!r} of the {split} split has no image that can '
        f'be decoded among its first {len(found)}: {example}'
    )


def _all_of_another_kind(
    paths: Sequence[str], members: np.ndarray
) -> list[tuple[str, bytes]]:
    """Returns (path, first bytes) of files, if none of them may be an image."""
    found = []
    for member in members.tolist():
        path = paths[member]
        try:
            # Opening a pipe would wait for its other end.
            if not os.path.isfile(path):
                return []
            with open(path, 'rb') as file:
                head = file.read(HEAD)
        except OSError:
            return []  # Reading it later names the error.
        if describe(head) is None:
            return []
        found.append((os.fsencode(path).decode('utf-8', 'replace'), head))
    return found
