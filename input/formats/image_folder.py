"""Images in directories: one per class, or with the class in the file name."""

import hashlib
import os
import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from estimator_clf.core.class_names import (
    how_they_differ,
    listed,
    names_fault,
    natural_order,
    normalized,
)
from estimator_clf.core.errors import DataError
from estimator_clf.core.paths import special_file
from estimator_clf.core.registry import register
from input.dataset_info import DatasetInfo
from input.directories.skipped import Skipped, by_extension
from input.directories.splits import AS_CLASSES, SplitDirectories, find_splits
from input.directories.walk import EXTENSIONS, files_in, images_below, subdirectories
from input.images.first_look import check_first_files
from input.images.image_shape import infer_image_shape
from input.sampling.validation_split import held_out
from input.sources.image_files import Files, ImageFileSource
from input.sources.in_memory import check_validation_split

_LAYOUTS = (
    'Expected DIR/<class>/<image>, or DIR/train/<class>/<image> (and DIR/valid, '
    'DIR/test)'
)

# (path, class).
Example = tuple[str, str]


@register('image_folder')
def image_folder(
    data_dir: str | None,
    *,
    image_size: int | str | None = None,
    channels: int | None = None,
    validation_split: float = 0.0,
    label_pattern: str | None = None,
    splits: bool = True,
    info: DatasetInfo | None = None,
) -> ImageFileSource:
    """Images in a directory per class, with or without directories for the splits.

    Args:
      data_dir: root of `<split>/<class>/**/*.jpg` or of `<class>/**/*.jpg`; with
        `label_pattern` the class directories are not required. Files are read by
        extension (`input.directories.walk.EXTENSIONS`) or content; the format follows
        from the first bytes. Numbers in the names of classes are sorted by value.
      image_size: pixels or 'HEIGHTxWIDTH'; see
        `input.images.image_shape.infer_image_shape`.
      channels: 1 or 3.
      validation_split: fraction of the training files to hold out; which ones
        follows from a hash of each file's name, so that further files move none;
        each class keeps at least one for training.
      label_pattern: regular expression searched for in the file's name; its first
        group is the class: r'(cat|dog)\\.' for Kaggle's `cat.0.jpg`.
      splits: False: directories called train, test, … are classes.
      info: see `DataSource`.

    Raises:
      DataError: no such directory, no images, fewer than two classes, a class that
        the training split does not contain, or without an image of a kind that is
        decoded.
    """
    root = existing_directory(data_dir)
    pattern = compile_pattern(label_pattern)
    if splits:
        layout = find_splits(root, bool(pattern))
    else:
        layout = SplitDirectories({'train': root})
    skipped = Skipped(root)
    found = {}
    for split, directory in layout.directories.items():
        others: list[str] = []
        paths = sorted(images_below(directory, others.append))
        labelled = [(p, class_of(p, directory, pattern)) for p in paths]
        known = [(p, c) for p, c in labelled if c is not None]
        # Kaggle's test images have no class: a split without any is skipped.
        if known or split == 'train':
            found[split] = _check_split(
                split, directory, labelled, known, pattern, layout, others
            )
        elif paths:
            skipped.add('images without a class', directory, len(paths))
        classes = None if pattern else {c for _, c in known}
        add_unused_files(skipped, directory, others, classes)
    add_unused_directories(skipped, layout)
    class_names = _class_names(found, root)
    number = {name: i for i, name in enumerate(class_names)}
    files = {
        split: (
            [path for path, _ in examples],
            np.array([number[c] for _, c in examples], np.int32),
        )
        for split, examples in found.items()
    }
    check_first_files(root, files, class_names)
    if validation_split:
        _hold_out(root, files, validation_split)
    paths = files['train'][0]
    sample = paths[:: -(-len(paths) // 64)]
    notes: list[str] = []
    shape = infer_image_shape(sample, image_size, channels, notes)
    name = 'image_folder:' + os.path.basename(os.path.abspath(root))
    source = ImageFileSource(name, class_names, shape, files, info)
    source.skipped = skipped
    source.notes = notes
    return source


def existing_directory(data_dir: str | None) -> str:
    """Returns data_dir; raises DataError if it is not a directory."""
    if not data_dir:
        raise DataError('`data_dir` is required for `dataset=image_folder`')
    if not os.path.isdir(data_dir):
        what = 'does not exist'
        if os.path.exists(data_dir):
            what = f'is {special_file(data_dir) or "a file"}'
        raise DataError(f'`data_dir` must be a directory, but {data_dir} {what}')
    return data_dir


def compile_pattern(label_pattern: str | None) -> re.Pattern[str] | None:
    """Compiles `label_pattern`, or returns None; raises DataError if it is invalid."""
    if not label_pattern:
        return None
    try:
        pattern = re.compile(label_pattern)
    except re.error as error:
        raise DataError(
            f'`label_pattern` must be a regular expression, but {label_pattern!r} is '
            f'not: {error}'
        ) from None
    if pattern.groups < 1:
        raise DataError(
            '`label_pattern` must have a group (...) that is the class, such as '
            f"'(cat|dog)', got {label_pattern!r}"
        )
    return pattern


def add_unused_files(
    skipped: Skipped,
    directory: str,
    others: Sequence[str],
    classes: Collection[str] | None = None,
) -> None:
    """Adds the files of a split that are no images, and classes without any.

    Args:
      skipped: collects them.
      directory: the directory of the split.
      others: its files that are not read as images.
      classes: names of its directories that contain images; None: they are not classes.
    """
    if others:
        reason = f'no JPEG, PNG, GIF or BMP: {by_extension(others)}'
        for path in sorted(others):
            skipped.add(reason, path)
    if classes is not None:
        for name in subdirectories(directory):
            if name not in classes:
                reason = 'class directories without an image that is read'
                skipped.add(reason, os.path.join(directory, name), 0)


def add_unused_directories(skipped: Skipped, layout: SplitDirectories) -> None:
    """Adds the files next to the directories of the splits."""
    reason = 'next to the directories of the splits'
    for path in layout.others:
        count = sum(1 for _ in images_below(path, onerror=lambda error: None))
        if count:
            skipped.add(reason, path, count)
    if layout.directories['train'] != skipped.root:
        for path in files_in(skipped.root):
            skipped.add(reason, path)


def class_of(path: str, directory: str, pattern: re.Pattern[str] | None) -> str | None:
    """Returns the class of an image of the split in `directory`, or None."""
    inside = os.path.relpath(path, directory)
    if pattern:
        match = pattern.search(os.path.basename(path))
        return match.group(1) if match else None
    first, slash, _ = inside.partition(os.sep)
    return first if slash else None


def _check_split(
    split: str,
    directory: str,
    labelled: Sequence[tuple[str, str | None]],
    known: list[Example],
    pattern: re.Pattern[str] | None,
    layout: SplitDirectories,
    others: Sequence[str],
) -> list[Example]:
    if not labelled:
        instead = f', but {by_extension(others)}' if others else ''
        raise DataError(
            f'{directory} contains no images ({", ".join(EXTENSIONS)}){instead}. '
            f'{_LAYOUTS}'
        )
    if len(known) < len(labelled):
        path = next(p for p, c in labelled if c is None)
        if pattern:
            raise DataError(
                f'{path} has no class: `label_pattern={pattern.pattern!r}` must '
                f'match every image of the {split} split'
            )
        as_classes = f'; {AS_CLASSES}' if len(layout.directories) > 1 else ''
        if layout.others:
            names = ', '.join(map(os.path.basename, layout.others[:6]))
            as_classes = f'. It is read as a split, {names} not; {AS_CLASSES}'
        raise DataError(
            f'{path} is not in a class directory. {_LAYOUTS}; if the class is in the '
            r"names of the files, set `label_pattern`, such as '(cat|dog)\.'"
            + as_classes
        )
    return known


def _class_names(found: Mapping[str, Sequence[Example]], root: str) -> list[str]:
    names = natural_order({c for _, c in found['train']})
    if len(names) < 2:
        raise DataError(
            f'A classifier needs at least two classes; {root} has only {names[0]!r}. '
            + _inner_classes(root, names[0])
            + _LAYOUTS
        )
    fault = names_fault(names)
    if fault:
        raise DataError(f'{root}: {fault}; rename the directory')
    number = {normalized(name): i for i, name in enumerate(names)}
    for split, examples in found.items():
        for name, path in {name: path for path, name in reversed(examples)}.items():
            if name in names:
                continue
            same = number.get(normalized(name))
            if same is not None:
                raise DataError(
                    f'{path}: the class is the same as in the training split, '
                    f'{how_they_differ(names[same], name)}; rename the directory'
                )
            raise DataError(
                f'The {split} split contains the class {name!r} ({path}), which '
                f'the training split does not: {listed(names)}'
            )
    return names


def _inner_classes(root: str, name: str) -> str:
    """Suggests the directory below, if that has the directories of the classes."""
    path = os.path.join(root, name)
    if len(subdirectories(path)) < 2:
        return ''
    return f'If the classes are in {path}, set `data_dir={path}`. '


def _hold_out(root: str, files: dict[str, Files], validation_split: float) -> None:
    paths, labels = files['train']
    out = validation_files(root, paths, validation_split, labels)
    check_validation_split(f'{root}', validation_split, files, out)
    if not out.any():
        return
    for split, mask in (('train', ~out), ('validation', out)):
        files[split] = (
            [path for path, chosen in zip(paths, mask, strict=True) if chosen],
            labels[mask],
        )


def validation_files(
    root: str, paths: Sequence[str], validation_split: float, labels: np.ndarray
) -> np.ndarray:
    """Returns which of the training files, of these classes, are held out, bool [N]."""
    ids = [
        int.from_bytes(
            hashlib.md5(os.path.relpath(p, root).encode('utf-8', 'replace')).digest()[
                :8
            ],
            'little',
        )
        for p in paths
    ]
    return held_out(np.array(ids, np.uint64), validation_split, labels)
