"""Images in directories: one per class, or with the class in the file name."""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NoReturn

import numpy as np

from estimator_clf.core.errors import DataError
from estimator_clf.core.paths import special_file
from estimator_clf.core.registry import register
from input.dataset_info import DatasetInfo
from input.images.image_shape import infer_image_shape
from input.sampling.validation_split import held_out
from input.sources.image_files import Files, ImageFileSource
from input.sources.in_memory import check_validation_split
from input.split_names import canonical, hinted

EXTENSIONS = ('.jpg', '.jpeg', '.png', '.gif', '.bmp')

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
    info: DatasetInfo | None = None,
) -> ImageFileSource:
    """Images in a directory per class, with or without directories for the splits.

    Args:
      data_dir: root of `<split>/<class>/**/*.jpg` or of `<class>/**/*.jpg`; with
        `label_pattern` the class directories are not required. Extensions jpg, jpeg,
        png, gif, bmp in any case; the format follows from the first bytes of a file.
      image_size: pixels or 'HEIGHTxWIDTH'; see
        `input.images.image_shape.infer_image_shape`.
      channels: 1 or 3.
      validation_split: fraction of the training files to hold out; which ones
        follows from a hash of each file's name, so that further files move none;
        each class keeps at least one for training.
      label_pattern: regular expression searched for in the file's name; its first
        group is the class: r'(cat|dog)\\.' for Kaggle's `cat.0.jpg`.
      info: see `DataSource`.

    Raises:
      DataError: no such directory, no images, fewer than two classes, a class that
        the training split does not contain.
    """
    root = existing_directory(data_dir)
    pattern = compile_pattern(label_pattern)
    found = {}
    for split, directory in _split_directories(root, pattern).items():
        paths = sorted(images_below(directory))
        labelled = [(p, class_of(p, directory, pattern)) for p in paths]
        known = [(p, c) for p, c in labelled if c is not None]
        # Kaggle's test images have no class: a split without any is skipped.
        if known or split == 'train':
            found[split] = _check_split(split, directory, labelled, known, pattern)
    class_names = _class_names(found, root)
    number = {name: i for i, name in enumerate(class_names)}
    files = {
        split: (
            [path for path, _ in examples],
            np.array([number[c] for _, c in examples], np.int32),
        )
        for split, examples in found.items()
    }
    if validation_split:
        _hold_out(root, files, validation_split)
    paths = files['train'][0]
    sample = paths[:: -(-len(paths) // 64)]
    notes: list[str] = []
    shape = infer_image_shape(sample, image_size, channels, notes)
    name = 'image_folder:' + os.path.basename(os.path.abspath(root))
    source = ImageFileSource(name, class_names, shape, files, info)
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


def _split_directories(root: str, pattern: re.Pattern[str] | None) -> dict[str, str]:
    """Returns dict split -> directory; {'train': root} without a directory 'train'."""
    directories: dict[str, str] = {}
    for name in sorted(os.listdir(root)):
        split, path = canonical(name), os.path.join(root, name)
        if split and os.path.isdir(path):
            if split in directories:
                raise DataError(
                    f'{directories[split]} and {path} are both the {split} split; '
                    'retain one'
                )
            directories[split] = path
    if 'train' in directories:
        return directories
    alike = [] if pattern else look_like_splits(root)
    if alike:
        raise DataError(
            f'{root} has no directory called train, but {" and ".join(alike)}, which '
            'look like splits, with the same directories inside, and would be trained '
            'on as classes. Rename them to train, valid and test, or set `data_dir` to '
            'the one with the classes'
        )
    return {'train': root}


def look_like_splits(root: str) -> list[str]:
    """Returns directories that may be splits under other names, such as 'training_set'.

    Their names denote different splits and most of their subdirectories, the classes,
    are the same.
    """
    inside = {}
    for name in sorted(os.listdir(root)):
        path = os.path.join(root, name)
        if hinted(name) and os.path.isdir(path) and os.access(path, os.R_OK | os.X_OK):
            inside[name] = {
                below
                for below in os.listdir(path)
                if not is_ignored(below) and os.path.isdir(os.path.join(path, below))
            }
    return [
        name
        for name, directories in inside.items()
        if any(
            hinted(name) != hinted(other) and _mostly_the_same(directories, others)
            for other, others in inside.items()
        )
    ]


def _mostly_the_same(one: set[str], other: set[str]) -> bool:
    common = len(one & other)
    return common > 1 and 2 * common > min(len(one), len(other))


def images_below(directory: str) -> Iterator[str]:
    """Yields the paths of all files with an image's extension, in no order."""
    for path in files_below(directory):
        if path.lower().endswith(EXTENSIONS):
            yield path


# At the root of file systems, often without the right to read them.
_SYSTEM_DIRECTORIES = (
    'lost+found',
    'System Volume Information',
    '$RECYCLE.BIN',
    '#recycle',
    '@eaDir',
)


def is_ignored(name: str) -> bool:
    """Returns whether a directory is not part of the data: hidden, or the system's."""
    return name.startswith('.') or name in _SYSTEM_DIRECTORIES


def files_below(
    directory: str,
    onerror: Callable[[OSError], object] | None = None,
    onspecial: Callable[[str, str], object] | None = None,
) -> Iterator[str]:
    """Yields the paths of all files except hidden and special ones, in no order.

    Args:
      directory: the root; links are followed.
      onerror: called for each directory that cannot be read.
      onspecial: called with path and kind of each FIFO, socket or device: reading one
        may wait for ever.

    Raises:
      DataError: without onerror, a directory that cannot be read.
    """
    waiting = [directory]
    while waiting:
        parent = waiting.pop()
        try:
            with os.scandir(parent) as scan:
                entries = list(scan)
        except OSError as error:
            (onerror or _refused)(error)
            continue
        for entry in entries:
            if _is(entry.is_dir):
                if not is_ignored(entry.name) and not _leads_back(parent, entry.name):
                    waiting.append(entry.path)
            elif entry.name.startswith('.'):
                continue
            # A link that leads nowhere is reported when it is read.
            elif not _is(entry.is_file) and (kind := special_file(entry.path)):
                if onspecial:
                    onspecial(entry.path, kind)
            else:
                yield entry.path


def _is(kind: Callable[[], bool]) -> bool:
    try:
        return kind()
    except OSError:  # A link into a directory that cannot be read, or in a circle.
        return False


def _refused(error: OSError) -> NoReturn:
    raise DataError(
        f'{error.filename} cannot be read: {error.strerror}; fix that, or remove the '
        'directory'
    )


def _leads_back(parent: str, name: str) -> bool:
    """Returns whether a directory is a link that would make the walk endless.

    It is one to a directory that contains it, also through other links on the way.
    """
    path = os.path.join(parent, name)
    if not os.path.islink(path):
        return False
    target = os.path.realpath(path)
    current = parent
    while os.path.commonpath([target, os.path.realpath(current)]) != target:
        above = os.path.dirname(current)
        if above in (current, ''):
            return False
        current = above
    return True


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
) -> list[Example]:
    if not labelled:
        raise DataError(
            f'{directory} contains no images ({", ".join(EXTENSIONS)}). {_LAYOUTS}'
        )
    if len(known) < len(labelled):
        path = next(p for p, c in labelled if c is None)
        if pattern:
            raise DataError(
                f'{path} has no class: `label_pattern={pattern.pattern!r}` must '
                f'match every image of the {split} split'
            )
        raise DataError(
            f'{path} is not in a class directory. {_LAYOUTS}; if the class is in the '
            r"names of the files, set `label_pattern`, such as '(cat|dog)\.'"
        )
    return known


def _class_names(found: Mapping[str, Sequence[Example]], root: str) -> list[str]:
    names = sorted({c for _, c in found['train']})
    if len(names) < 2:
        raise DataError(
            f'A classifier needs at least two classes; {root} has only {names[0]!r}. '
            + _LAYOUTS
        )
    for name in names:
        if not name.isprintable():
            raise DataError(
                f'The name of the class {name!r} of {root} must be printable UTF-8, '
                'since the served model returns it; rename its directory'
            )
    for split, examples in found.items():
        for path, name in examples:
            if name not in names:
                raise DataError(
                    f'The {split} split contains the class {name!r} ({path}), which '
                    f'the training split does not: {", ".join(names[:20])}'
                )
    return names


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
