"""Walks directories of data: files that are images, and names that are not data."""

import os
from collections.abc import Callable, Iterator
from typing import NoReturn

from estimator_clf.core.errors import DataError
from estimator_clf.core.paths import special_file
from input.images.file_kind import kind_of

#: Extensions of the formats that are decoded.
EXTENSIONS = (
    *('.jpg', '.jpeg', '.jpe', '.jfif', '.jif', '.pjpeg', '.pjp'),
    *('.png', '.gif', '.bmp', '.dib'),
)

# What operating systems, archivers and file servers put next to people's files.
_SYSTEM_NAMES = {
    *('thumbs.db', 'ehthumbs.db', 'desktop.ini', 'icon\r', '__macosx', '__pycache__'),
    *('lost+found', 'system volume information', '$recycle.bin'),
    *('#recycle', '@recycle', '#snapshot', '@eadir', '@tmp', '@sharebin'),
}


def is_ignored(name: str) -> bool:
    """Returns whether a file or directory is not data: hidden, or the system's."""
    return name.startswith('.') or name.lower() in _SYSTEM_NAMES


def subdirectories(directory: str) -> list[str]:
    """Returns the names of the directories in a directory, sorted; [] if unreadable."""
    try:
        with os.scandir(directory) as entries:
            found = [
                e.name for e in entries if _is(e.is_dir) and not is_ignored(e.name)
            ]
    except OSError:
        return []
    return sorted(found)


def files_in(directory: str) -> list[str]:
    """Returns the paths of the files directly in a directory, sorted."""
    with os.scandir(directory) as entries:
        return sorted(
            e.path for e in entries if not is_ignored(e.name) and not _is(e.is_dir)
        )


def files_below(
    directory: str,
    onerror: Callable[[OSError], object] | None = None,
    onspecial: Callable[[str, str], object] | None = None,
) -> Iterator[str]:
    """Yields the paths of all files except ignored and special ones, in no order.

    Args:
      directory: the root; links are followed.
      onerror: called for each directory that cannot be read.
      onspecial: called with path and kind of each FIFO, socket or device: reading one
        may wait for ever.

    Raises:
      DataError: without onerror, a directory that cannot be read.
    """
    for entry in _entries_below(directory, onerror):
        # A link that leads nowhere is reported when it is read.
        if not _is(entry.is_file) and (kind := special_file(entry.path)):
            if onspecial:
                onspecial(entry.path, kind)
        else:
            yield entry.path


def images_below(
    directory: str,
    on_other: Callable[[str], object] | None = None,
    onerror: Callable[[OSError], object] | None = None,
) -> Iterator[str]:
    """Yields the paths of all files that are read as images, in no order.

    These are the files with an extension of an image, and those that start as a JPEG,
    PNG or GIF, whatever their names. Pipes, sockets and devices are not opened.

    Args:
      directory: the root, see `files_below`.
      on_other: called with the path of each other file that is not ignored.
      onerror: see `files_below`.
    """
    for entry in _entries_below(directory, onerror):
        if _is_image(entry):
            yield entry.path
        elif on_other:
            on_other(entry.path)


def _entries_below(directory, onerror):
    waiting = [directory]
    while waiting:
        parent = waiting.pop()
        try:
            with os.scandir(parent) as entries:
                found = [entry for entry in entries if not is_ignored(entry.name)]
        except OSError as error:
            (onerror or _refused)(error)
            continue
        for entry in found:
            if not _is(entry.is_dir):
                yield entry
            elif not _leads_back(parent, entry.name):
                waiting.append(entry.path)


def _is(kind: Callable[[], bool]) -> bool:
    try:
        return kind()
    except OSError:  # A link into a directory that cannot be read, or in a circle.
        return False


def _is_image(entry):
    listed = entry.name.lower().endswith(EXTENSIONS)
    # Known without a system call for each, except for links. Opening a pipe would
    # wait for its writer; a device may never end.
    if not _is(entry.is_file):
        # A link that leads nowhere is reported when it is read.
        return listed and not special_file(entry.path)
    if listed:
        return True
    try:
        with open(entry.path, 'rb') as file:
            kind = kind_of(file.read(8))
    except OSError:
        return False
    return kind in ('jpeg', 'png', 'gif')  # 'BM' may be the start of any text.


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
