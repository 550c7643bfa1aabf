"""Scans a directory of images, and all other files in it.

`image_folder` stops at the first error; this reports all of them.
"""

import os
from collections.abc import Collection

import numpy as np

from estimator_clf.core.paths import special_file
from input.directories.skipped import Skipped
from input.directories.splits import SplitDirectories, find_splits
from input.directories.walk import images_below, subdirectories
from input.formats.image_folder import (
    Example,
    add_unused_directories,
    class_of,
    compile_pattern,
    existing_directory,
    validation_files,
)
from input.images.file_kind import HEAD, IMAGES, kind_of, name_of
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
        splits: bool = True,
    ):
        """Walks through the directory.

        Args:
          data_dir: see `input.formats.image_folder`, also for the others.
          label_pattern: regular expression with the class, or None.
          validation_split: fraction of the training files to hold out, or None.
          splits: whether directories called train, test, … are splits.

        Raises:
          DataError: no such directory, or an invalid pattern.
        """
        self.findings: list[Finding] = []
        self.examples: dict[str, list[Example]] = {}
        self._root = existing_directory(data_dir)
        self._pattern = compile_pattern(label_pattern)
        layout = SplitDirectories({'train': self._root})
        if splits:
            layout = find_splits(self._root, bool(self._pattern), self._add_layout)
        for split, directory in layout.directories.items():
            self._walk(split, directory)
        unused = Skipped(self._root)
        add_unused_directories(unused, layout)
        for reason, path, count in unused.items():
            number = f'{count} images, ' if os.path.isdir(path) else ''
            self._add('ignored', path, number + reason)
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

    def _add_layout(self, path: str, problem: str) -> None:
        self._add('layout', path, problem)

    def _walk(self, split: str, directory: str) -> None:
        found: list[Example] = []
        others: list[str] = []
        classless: list[str] = []
        closed: set[str] = set()

        def unreadable(error):
            closed.add(os.path.relpath(error.filename, directory).split(os.sep)[0])
            self._add('unreadable', error.filename, error.strerror, split)

        for path in sorted(images_below(directory, others.append, unreadable)):
            name = class_of(path, directory, self._pattern)
            if name is None:
                classless.append(path)
            else:
                found.append((path, name))
        for path in sorted(others):
            kind, detail = _inspect_other(path)
            name = class_of(path, directory, self._pattern)
            self._add(kind, path, detail, split, name)
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
        for name in subdirectories(directory):
            if name not in filled:
                path = os.path.join(directory, name)
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


def _inspect_other(path: str) -> tuple[str, str]:
    """Returns (kind, detail) of a file that is not read as an image."""
    special = special_file(path)
    if special:
        return 'ignored', f'is {special}'
    try:
        with open(path, 'rb') as file:
            head = file.read(HEAD)
    except OSError as error:
        return 'ignored', error.strerror or str(error)
    extension = os.path.splitext(path)[1].lower()
    if kind_of(head) == 'bmp' and extension != '.dib':
        head = b'text'  # 'BM' may be the start of any text.
    name = name_of(head)
    if kind_of(head) or name in IMAGES or extension in _OTHER_IMAGES:
        found = f'is {name}' if name and name != 'text' else f'{extension} is not read'
        return 'hidden_image', found
    return 'ignored', 'has neither the extension nor the content of an image'
