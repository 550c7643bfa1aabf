"""Scans a directory of images, and all other files in it.

`image_folder` stops at the first error; this reports all of them.
"""

import os
from collections.abc import Collection

import numpy as np

from input.formats.image_folder import (
    EXTENSIONS,
    Example,
    class_of,
    compile_pattern,
    existing_directory,
    files_below,
    is_ignored,
    look_like_splits,
    validation_files,
)
from input.images.decode import kind_of
from input.split_names import canonical
from input.validate.class_names import similar
from input.validate.report import Finding

# Extensions of images that `image_folder` does not read.
_OTHER_IMAGES = ('.webp', '.tif', '.tiff', '.heic', '.heif', '.avif', '.jp2', '.psd')


class DirectoryScan:
    """Examples and findings that follow from the names in a directory of images.

    Attributes:
      examples: dict split -> pairs (path, class), in the order of the paths.
      findings: the findings.
    """

    def __init__(
        self,
        data_dir: str | None,
        label_pattern: str | None = None,
        validation_split: float | None = None,
    ):
        """Walks through the directory.

        Args:
          data_dir: see `input.formats.image_folder`, also for the others.
          label_pattern: regular expression with the class, or None.
          validation_split: fraction of the training files to hold out, or None.

        Raises:
          DataError: no such directory, or an invalid pattern.
        """
        self.findings: list[Finding] = []
        self.examples: dict[str, list[Example]] = {}
        self._root = existing_directory(data_dir)
        self._pattern = compile_pattern(label_pattern)
        for split, directory in self._split_directories().items():
            self._walk(split, directory)
        self._check_classes()
        if validation_split and 'validation' not in self.examples:
            self._hold_out(validation_split)

    def _add(
        self,
        kind: str,
        where: str,
        detail: str,
        split: str | None = None,
        label: str | None = None,
    ) -> None:
        self.findings.append(Finding(kind, where, detail, split, label))

    def _split_directories(self) -> dict[str, str]:
        """Returns dict split -> directory, as `image_folder` finds them."""
        directories: dict[str, str] = {}
        others = []
        for name in sorted(os.listdir(self._root)):
            split, path = canonical(name), os.path.join(self._root, name)
            if not split or not os.path.isdir(path):
                if not name.startswith('.'):
                    others.append(path)
            elif split in directories:
                self._add(
                    'layout', path, f'the {split} split is also {directories[split]}'
                )
            else:
                directories[split] = path
        if 'train' in directories:
            for path in others:
                self._add('ignored', path, 'is next to the directories of the splits')
            return directories
        for split, path in directories.items():
            self._add(
                'layout',
                path,
                f'there is no directory of the training split, so that {split} is read '
                'as a class',
            )
        for name in look_like_splits(self._root):
            if not canonical(name) and not self._pattern:
                path = os.path.join(self._root, name)
                self._add('layout', path, 'looks like a split, but is read as a class')
        return {'train': self._root}

    def _walk(self, split: str, directory: str) -> None:
        found, others, classless = [], [], []
        closed: set[str] = set()

        def unreadable(error):
            closed.add(os.path.relpath(error.filename, directory).split(os.sep)[0])
            self._add('unreadable', error.filename, error.strerror, split)

        def special(path, kind):
            self._add('ignored', path, f'is {kind}', split)

        for path in sorted(files_below(directory, unreadable, special)):
            name = class_of(path, directory, self._pattern)
            if not path.lower().endswith(EXTENSIONS):
                others.append((path, name))
            elif name is None:
                classless.append(path)
            else:
                found.append((path, name))
        for path, other_name in others:
            self._add(*_inspect_other(path), split, other_name)
        if classless and not found and split != 'train':
            # Kaggle's test images: `image_folder` skips the split.
            self._add('ignored', directory, f'{len(classless)} images without a class')
            return
        if self._pattern:
            reason = f'`label_pattern={self._pattern.pattern!r}` does not match'
        else:
            reason = 'is not in a class directory'
        for path in classless:
            self._add('no_class', path, reason, split)
        if not self._pattern:
            self._check_empty(split, directory, closed | {name for _, name in found})
        self.examples[split] = found

    def _check_empty(self, split: str, directory: str, filled: Collection[str]) -> None:
        for name in sorted(os.listdir(directory)):
            path = os.path.join(directory, name)
            if is_ignored(name) or not os.path.isdir(path) or name in filled:
                continue
            self._add('empty_class', path, 'contains no image', split, name)

    def _check_classes(self) -> None:
        classes = {s: {c for _, c in found} for s, found in self.examples.items()}
        self.findings += similar(classes)
        train = classes.get('train', set())
        for split, names in classes.items():
            for name in sorted(names - train):
                count = sum(c == name for _, c in self.examples[split])
                self._add(
                    'class_not_in_train', name, f'{count} in {split}', split, name
                )

    def _hold_out(self, fraction: float) -> None:
        train = self.examples.get('train', [])
        paths, classes = ([e[i] for e in train] for i in (0, 1))
        labels = np.unique(np.array(classes, str), return_inverse=True)[1]
        out = validation_files(self._root, paths, fraction, labels)
        for split, side in (('train', False), ('validation', True)):
            pairs = zip(train, out.tolist(), strict=True)
            self.examples[split] = [example for example, held in pairs if held == side]


def _inspect_other(path: str) -> tuple[str, str, str]:
    """Returns (kind, where, detail) of a file without an image's extension."""
    try:
        with open(path, 'rb') as file:
            kind = kind_of(file.read(8))
    except OSError as error:
        return 'ignored', path, error.strerror or str(error)
    # 'BM' may be the start of any text.
    if kind and kind != 'bmp':
        return 'hidden_image', path, f'is a {kind.upper()}'
    extension = os.path.splitext(path)[1].lower()
    if extension in _OTHER_IMAGES:
        return 'hidden_image', path, f'{extension} is not read'
    return 'ignored', path, 'has no extension of an image'
