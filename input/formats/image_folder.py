"""Images in directories: a directory per class, or the class in the file's name."""

import hashlib
import os
import re

import numpy as np

from estimator_clf.core.errors import DataError
from estimator_clf.core.registry import register
from input.images.image_shape import infer_image_shape
from input.sampling.stateless_random import is_validation_example
from input.sources.image_files import ImageFileSource
from input.sources.in_memory import check_validation_split
from input.split_names import canonical, hinted

EXTENSIONS = ('.jpg', '.jpeg', '.png', '.gif', '.bmp')

_LAYOUTS = (
    'Expected DIR/<class>/<image>, or DIR/train/<class>/<image> (and DIR/valid, '
    'DIR/test)'
)


@register('image_folder')
def image_folder(
    data_dir,
    *,
    image_size=None,
    channels=None,
    validation_split=0.0,
    label_pattern=None,
    info=None,
):
    """Images in a directory per class, with or without directories for the splits.

    Args:
      data_dir: root of `<split>/<class>/**/*.jpg` or of `<class>/**/*.jpg`; with
        `label_pattern` the class directories are not needed. Extensions jpg, jpeg,
        png, gif, bmp in any case; what a file is, its first bytes tell.
      image_size: int or 'HEIGHTxWIDTH'; see
      `input.images.image_shape.infer_image_shape`.
      channels: 1 or 3.
      validation_split: share of the training files to hold out; which ones
        follows from a hash of each file's name, so that more files move none.
      label_pattern: regular expression searched for in the file's name; its first
        group is the class: r'(cat|dog)\\.' for Kaggle's `cat.0.jpg`.
      info: see `DataSource`.

    Returns:
      A `ImageFileSource`.

    Raises:
      DataError: no such directory, no images, fewer than two classes, a class that
        is not in the training split.
    """
    root = existing_directory(data_dir)
    pattern = compile_pattern(label_pattern)
    found = {}
    for split, directory in _split_directories(root, pattern).items():
        paths = sorted(images_below(directory))
        labelled = [(p, class_of(p, directory, pattern)) for p in paths]
        known = [(p, c) for p, c in labelled if c is not None]
        # Kaggle's test images carry no class: a split without any is left out.
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
    shape = infer_image_shape(sample, image_size, channels)
    name = 'image_folder:' + os.path.basename(os.path.abspath(root))
    return ImageFileSource(name, class_names, shape, files, info)


def existing_directory(data_dir):
    """Returns data_dir; raises DataError if it is no directory."""
    if not data_dir:
        raise DataError('`data_dir` is needed for `dataset=image_folder`')
    if not os.path.isdir(data_dir):
        what = 'is a file' if os.path.exists(data_dir) else 'does not exist'
        raise DataError(f'`data_dir` must be a directory, but {data_dir} {what}')
    return data_dir


def compile_pattern(label_pattern):
    """Returns `label_pattern` compiled, or None; raises DataError if it is wrong."""
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
            '`label_pattern` must have a group (…) that is the class, such as '
            f"'(cat|dog)', got {label_pattern!r}"
        )
    return pattern


def _split_directories(root, pattern):
    """dict split -> directory; all of it is 'train' where no directory is called that."""
    directories = {}
    for name in sorted(os.listdir(root)):
        split, path = canonical(name), os.path.join(root, name)
        if split and os.path.isdir(path):
            if split in directories:
                raise DataError(
                    f'{directories[split]} and {path} are both the {split} split; keep one'
                )
            directories[split] = path
    if 'train' in directories:
        return directories
    alike = [] if pattern else look_like_splits(root)
    if alike:
        raise DataError(
            f'{root} has no directory called train, but {" and ".join(alike)}, which look '
            'like splits, with the same directories in them, and would be trained on as '
            'classes. Call them train, valid and test, or name the one with the '
            'classes by `data_dir`'
        )
    return {'train': root}


def look_like_splits(root):
    """Names of directories that may be splits under other names, such as 'training_set'.

    They speak of different splits and have most of their directories in common, as
    splits
    have classes.
    """
    inside = {}
    for name in sorted(os.listdir(root)):
        path = os.path.join(root, name)
        if hinted(name) and os.path.isdir(path) and os.access(path, os.R_OK | os.X_OK):
            inside[name] = {
                below
                for below in os.listdir(path)
                if not passed_over(below) and os.path.isdir(os.path.join(path, below))
            }
    return [
        name
        for name, directories in inside.items()
        if any(
            hinted(name) != hinted(other) and _mostly_the_same(directories, others)
            for other, others in inside.items()
        )
    ]


def _mostly_the_same(one, other):
    common = len(one & other)
    return common > 1 and 2 * common > min(len(one), len(other))


def images_below(directory):
    """Yields the paths of what has an image's extension, in no order."""
    for path in files_below(directory):
        if path.lower().endswith(EXTENSIONS):
            yield path


# At the top of disks, and not for everybody to read.
_OF_THE_SYSTEM = (
    'lost+found',
    'System Volume Information',
    '$RECYCLE.BIN',
    '#recycle',
    '@eaDir',
)


def passed_over(name):
    """Whether a directory of this name is none of the data: a hidden one, or a disk's."""
    return name.startswith('.') or name in _OF_THE_SYSTEM


def files_below(directory, onerror=None):
    """Yields the paths of all files but hidden ones, in no order.

    Args:
      directory: where to look.
      onerror: function (OSError), called for each directory that cannot be read.

    Raises:
      DataError: without onerror, a directory that cannot be read.
    """
    walk = os.walk(directory, onerror=onerror or _refused, followlinks=True)
    for parent, directories, names in walk:
        directories[:] = [
            f for f in directories if not passed_over(f) and not _leads_back(parent, f)
        ]
        for name in names:
            if not name.startswith('.'):
                yield os.path.join(parent, name)


def _refused(error):
    raise DataError(
        f'{error.filename} cannot be read: {error.strerror}; mend that, or take the '
        'directory away'
    )


def _leads_back(parent, name):
    """Tells whether a directory is a link to what it was come through: a walk without end.

    That is a directory that it lies in, or one that a link on the way led to or lay in.
    """
    path = os.path.join(parent, name)
    if not os.path.islink(path):
        return False
    target = os.path.realpath(path)
    way = parent
    while os.path.commonpath([target, os.path.realpath(way)]) != target:
        above = os.path.dirname(way)
        if above in (way, ''):
            return False
        way = above
    return True


def class_of(path, directory, pattern):
    """Returns the class of an image of the split in `directory`, or None."""
    inside = os.path.relpath(path, directory)
    if pattern:
        match = pattern.search(os.path.basename(path))
        return match.group(1) if match else None
    first, slash, _ = inside.partition(os.sep)
    return first if slash else None


def _check_split(split, directory, labelled, known, pattern):
    if not labelled:
        raise DataError(
            f'{directory} has no images ({", ".join(EXTENSIONS)}) in it. {_LAYOUTS}'
        )
    if len(known) < len(labelled):
        path = next(p for p, c in labelled if c is None)
        if pattern:
            raise DataError(
                f'{path} is of no class: `label_pattern={pattern.pattern!r}` must '
                f'match every image of the {split} split'
            )
        raise DataError(
            f'{path} is in no class directory. {_LAYOUTS}; if the class is in the names '
            r"of the files, give `label_pattern`, such as '(cat|dog)\.'"
        )
    return known


def _class_names(found, root):
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
                'since it goes to the served model; rename its directory'
            )
    for split, examples in found.items():
        for path, name in examples:
            if name not in names:
                raise DataError(
                    f'The {split} split has the class {name!r} ({path}), which the '
                    f'training split has not: {", ".join(names[:20])}'
                )
    return names


def _hold_out(root, files, validation_split):
    paths, labels = files['train']
    out = validation_files(root, paths, validation_split)
    check_validation_split(f'{root}', validation_split, files, out)
    for split, keep in (('train', ~out), ('validation', out)):
        files[split] = (
            [p for p, k in zip(paths, keep, strict=True) if k],
            labels[keep],
        )


def validation_files(root, paths, validation_split):
    """Returns a bool array: which of the training files are held out."""
    ids = [
        int.from_bytes(
            hashlib.md5(os.path.relpath(p, root).encode('utf-8', 'replace')).digest()[
                :8
            ],
            'little',
        )
        for p in paths
    ]
    return is_validation_example(np.array(ids, np.uint64), validation_split)
