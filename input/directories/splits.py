"""Tells the directories of splits from those of classes."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import NoReturn

from estimator_clf.core.errors import DataError
from input.directories.walk import EXTENSIONS, subdirectories
from input.split_names import canonical, hinted, remainder

#: What to do where directories that look like splits are classes.
AS_CLASSES = 'if they are classes, set `dataset=image_folder(splits=false)`'

OnProblem = Callable[[str, str], object]


@dataclasses.dataclass(frozen=True)
class SplitDirectories:
    """Directories of the splits.

    Attributes:
      directories: dict split -> directory; {'train': root} where the root has the
        directories of the classes.
      others: paths of the directories next to those of the splits.
    """

    directories: Mapping[str, str]
    others: tuple[str, ...] = ()


def find_splits(
    root: str, with_pattern: bool = False, on_problem: OnProblem | None = None
) -> SplitDirectories:
    """Finds the directories of the splits by their names and their content.

    Read are `train` with `valid` and `test`; without `train` also other names of splits
    (`seg_train` and `seg_test`, `training_set`, `train_images`); and
    `seg_train/seg_train/<class>`.

    Args:
      root: directory of the dataset.
      with_pattern: whether the classes are in the names of the files.
      on_problem: function (path, sentence about it), called for an ambiguous layout
        that is then read as far as possible.

    Raises:
      DataError: without on_problem, an ambiguous layout.
    """
    report = on_problem or _refuse
    names = subdirectories(root)
    splits = {name: canonical(name) for name in names}
    if 'train' not in splits.values():
        splits = _other_names(root, names, with_pattern)
    chosen: dict[str, str] = {}
    for name, split in splits.items():
        if split in chosen:
            others = f'{os.path.join(root, chosen[split])} is the {split} split, too'
            report(os.path.join(root, name), f'must not be there: {others}; retain one')
        elif split:
            chosen[split] = name
    if 'train' in chosen:
        used = {name for name, split in splits.items() if split}
        return SplitDirectories(
            {s: _unwrapped(os.path.join(root, n), s) for s, n in chosen.items()},
            tuple(os.path.join(root, n) for n in names if n not in used),
        )
    if len(chosen) > 1 and (_denote_splits_only(root, splits) or _alike(root, splits)):
        alike = [os.path.join(root, name) for name in splits if splits[name]]
        for path in alike:
            report(
                path,
                f'looks like a split, as all of {", ".join(alike)} do, but there is no '
                'directory called train. Rename them to train, valid and test; '
                + AS_CLASSES,
            )
    elif not with_pattern:
        _check_combined_names(root, names, report)
    if len(chosen) < 2:
        _check_inner_splits(root, names, report)
    return SplitDirectories({'train': root})


def _other_names(
    root: str, names: list[str], with_pattern: bool
) -> dict[str, str | None]:
    """Returns dict directory -> the split that it is, or None for all of them."""
    splits = {name: hinted(name) for name in names}
    some = {name: split for name, split in splits.items() if split}
    if len(set(some.values())) > 1 and (
        _denote_splits_only(root, splits) or _alike(root, some) or with_pattern
    ):
        return splits
    return {name: canonical(name) for name in names}


def _denote_splits_only(root: str, splits: Mapping[str, str | None]) -> bool:
    """Returns whether all directories are named as splits, and nothing else.

    The remainders of the names are the same ('seg' in 'seg_train', 'seg_test') or
    empty; 'test_tubes' and 'training_shoes' are not.
    """
    rests = {remainder(name) for name, split in splits.items() if split}
    others = [n for n, split in splits.items() if not split]
    return len(rests - {''}) < 2 and not (
        others and any(_has_images(os.path.join(root, n)) for n in others)
    )


def _alike(root: str, splits: Mapping[str, str | None]) -> bool:
    """Returns whether directories of different splits contain the same directories."""
    inside = {
        name: set(subdirectories(_unwrapped(os.path.join(root, name), split)))
        for name, split in splits.items()
        if split
    }
    return any(
        splits[one] != splits[other] and _mostly_the_same(inside[one], inside[other])
        for one in inside
        for other in inside
    )


def _mostly_the_same(one: set[str], other: set[str]) -> bool:
    common = len(one & other)
    return common > 1 and 2 * common > min(len(one), len(other))


def _unwrapped(path: str, split: str) -> str:
    """Returns the inner directory of `seg_train/seg_train`, else the path itself."""
    inside = subdirectories(path)
    while len(inside) == 1 and hinted(inside[0]) == split and not _has_images(path):
        path = os.path.join(path, inside[0])
        inside = subdirectories(path)
    return path


def _has_images(path: str) -> bool:
    """Returns whether a directory itself contains a file named as an image."""
    try:
        with os.scandir(path) as entries:
            return any(entry.name.lower().endswith(EXTENSIONS) for entry in entries)
    except OSError:
        return False


def _check_combined_names(root: str, names: list[str], report: OnProblem) -> None:
    """Reports `cats_train`, `cats_test`, …: class and split in one name."""
    rests: dict[str, set[str | None]] = {}
    for name in names:
        split = hinted(name)
        if not split:
            return
        rests.setdefault(split, set()).add(remainder(name))
    one, *others = rests.values() if rests else [set()]
    if others and len(one) > 1 and all(rest == one for rest in others):
        report(
            os.path.join(root, names[0]),
            f'has a class and a split in its name, as all of {", ".join(names[:6])} '
            f'do, and would be read as a class. Arrange them as <split>/<class>; '
            f'{AS_CLASSES}',
        )


def _check_inner_splits(root: str, names: list[str], report: OnProblem) -> None:
    """Reports directories that contain splits and would be read as classes."""
    for name in names:
        path = os.path.join(root, name)
        found = [n for n in subdirectories(path) if remainder(n) == '']
        denoted = {hinted(n) for n in found}
        if 'train' in denoted and len(denoted) > 1:
            report(
                path,
                f'contains directories of splits ({", ".join(found)}), and would be '
                f'read as one class. If it is the dataset, set `data_dir={path}`; if '
                'it is a class, arrange the images as <split>/<class>, or set '
                '`dataset=image_folder(splits=false)` to train on all of them',
            )


def _refuse(path: str, problem: str) -> NoReturn:
    raise DataError(f'{path} {problem}')
