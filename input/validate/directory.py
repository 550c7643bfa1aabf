"""A directory of images, walked through for all that is in it, not only images.

`image_folder` stops at the first thing that it cannot take; here everything is said.
"""

import os

from input.formats.image_folder import (
    EXTENSIONS,
    class_of,
    compile_pattern,
    existing_directory,
    files_below,
    look_like_splits,
    passed_over,
    validation_files,
)
from input.images.decode import kind_of
from input.split_names import canonical
from input.validate.class_names import similar
from input.validate.report import Finding

# What people take for images, and `image_folder` does not.
_OTHER_IMAGES = ('.webp', '.tif', '.tiff', '.heic', '.heif', '.avif', '.jp2', '.psd')


class DirectoryScan:
    """What the names in a directory of images tell.

    Attributes:
      examples: dict split -> list of (path, class), in the order of the paths.
      findings: list of `Finding`.
    """

    def __init__(self, data_dir, label_pattern=None, validation_split=None):
        """Walks through the directory.

        Args:
          data_dir: see `input.formats.image_folder`, as the others.
          label_pattern: regular expression with the class, or None.
          validation_split: share of the training files that is held out, or None.

        Raises:
          DataError: no such directory, or a wrong pattern.
        """
        self.findings = []
        self.examples = {}
        self._root = existing_directory(data_dir)
        self._pattern = compile_pattern(label_pattern)
        for split, directory in self._split_directories().items():
            self._walk(split, directory)
        self._check_classes()
        if validation_split and 'validation' not in self.examples:
            self._hold_out(validation_split)

    def _add(self, kind, where, detail, split=None, label=None):
        self.findings.append(Finding(kind, where, detail, split, label))

    def _split_directories(self):
        """dict split -> directory, as `image_folder` sees them."""
        directories, beside = {}, []
        for name in sorted(os.listdir(self._root)):
            split, path = canonical(name), os.path.join(self._root, name)
            if not split or not os.path.isdir(path):
                if not name.startswith('.'):
                    beside.append(path)
            elif split in directories:
                self._add(
                    'layout', path, f'the {split} split is {directories[split]}, too'
                )
            else:
                directories[split] = path
        if 'train' in directories:
            for path in beside:
                self._add('ignored', path, 'lies beside the directories of the splits')
            return directories
        for split, path in directories.items():
            self._add(
                'layout',
                path,
                f'there is no directory of the training split, so that {split} is taken '
                'for a class',
            )
        for name in look_like_splits(self._root):
            if not canonical(name) and not self._pattern:
                path = os.path.join(self._root, name)
                self._add('layout', path, 'looks like a split, taken for a class')
        return {'train': self._root}

    def _walk(self, split, directory):
        found, others, classless, closed = [], [], [], set()

        def unreadable(error):
            closed.add(os.path.relpath(error.filename, directory).split(os.sep)[0])
            self._add('unreadable', error.filename, error.strerror, split)

        for path in sorted(files_below(directory, unreadable)):
            name = class_of(path, directory, self._pattern)
            if not path.lower().endswith(EXTENSIONS):
                others.append((path, name))
            elif name is None:
                classless.append(path)
            else:
                found.append((path, name))
        for path, name in others:
            self._add(*_look_at_other(path), split, name)
        if classless and not found and split != 'train':
            # Kaggle's test images: `image_folder` leaves the split out.
            self._add('ignored', directory, f'{len(classless)} images without a class')
            return
        if self._pattern:
            why = f'`label_pattern={self._pattern.pattern!r}` does not match'
        else:
            why = 'lies in no class directory'
        for path in classless:
            self._add('no_class', path, why, split)
        if not self._pattern:
            self._check_empty(split, directory, closed | {name for _, name in found})
        self.examples[split] = found

    def _check_empty(self, split, directory, filled):
        for name in sorted(os.listdir(directory)):
            path = os.path.join(directory, name)
            if passed_over(name) or not os.path.isdir(path) or name in filled:
                continue
            self._add('empty_class', path, 'no image in it', split, name)

    def _check_classes(self):
        classes = {s: {c for _, c in found} for s, found in self.examples.items()}
        self.findings += similar(classes)
        train = classes.get('train', set())
        for split, there in classes.items():
            for name in sorted(there - train):
                count = sum(c == name for _, c in self.examples[split])
                self._add(
                    'class_not_in_train', name, f'{count} in {split}', split, name
                )

    def _hold_out(self, fraction):
        train = self.examples.get('train', [])
        out = validation_files(self._root, [path for path, _ in train], fraction)
        for split, side in (('train', False), ('validation', True)):
            pairs = zip(train, out.tolist(), strict=True)
            self.examples[split] = [example for example, held in pairs if held == side]


def _look_at_other(path):
    """(kind, where, detail) of a file without an image's extension."""
    try:
        with open(path, 'rb') as file:
            kind = kind_of(file.read(8))
    except OSError as error:
        return 'ignored', path, error.strerror
    # 'BM' may begin any text.
    if kind and kind != 'bmp':
        return 'hidden_image', path, f'is a {kind.upper()}'
    extension = os.path.splitext(path)[1].lower()
    if extension in _OTHER_IMAGES:
        return 'hidden_image', path, f'{extension} is not read'
    return 'ignored', path, 'no extension of an image'
