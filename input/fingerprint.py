"""Fingerprints of files and examples: by time for caches, by content for identity."""

import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

#: What identifies the examples of a split, as JSON: see `identify_files`,
#: `identify_arrays`, `identify_shards`.
Identity = dict[str, Any]

# Limits of what is read, so that a run of a million images starts in seconds.
_SIZED_FILES = 1 << 16
_SAMPLED_FILES = 64
_FILE_START = 1 << 16
_SAMPLED_BYTES = 1 << 26
_BLOCK = 1 << 16


def fingerprint_files(paths: Iterable[str]) -> int:
    """Returns a number that changes with the names, sizes or times of files.

    Args:
      paths: the files; a missing one counts as empty.
    """
    number = 0
    for path in paths:
        facts: tuple[int, ...]
        try:
            status = os.stat(path)
            facts = status.st_size, status.st_mtime_ns
        except OSError:
            facts = ()
        number = zlib.crc32(os.fsencode(path) + repr(facts).encode(), number)
    return number


def identify_files(paths: Sequence[str], labels: np.ndarray) -> Identity:
    """Identifies images in files of their own, wherever the directory is.

    The times of the files do not count, and names are relative to the directory that
    holds all of them: a copy has the same identity.

    Args:
      paths: the files, in their order.
      labels: integers [N].

    Returns:
      'names': of the files, in order; 'content': base names and sizes (of about 65,536
      files) and the first 64 kB of 64 files, which stay the same where images are moved
      between classes; 'labels'.
    """
    names = 0
    root = os.path.commonpath([min(paths), max(paths)]) if len(paths) > 1 else ''
    one_of = -(-len(paths) // _SIZED_FILES)
    chosen = []
    for path in paths:
        inside = path[len(root) :] if root else os.path.basename(path)
        names = zlib.crc32(os.fsencode(inside) + b'\0', names)
        base = os.fsencode(os.path.basename(path))
        if one_of <= 1 or zlib.crc32(base) % one_of == 0:
            chosen.append((base, path))
    chosen.sort()
    facts = sorted((base, _size(path)) for base, path in chosen)
    content = zlib.crc32(repr(facts).encode())
    some = _evenly_spaced(len(chosen), _SAMPLED_FILES)
    # Sorted, since files of one base name change places with their classes.
    starts = sorted(_start(chosen[i][1]) for i in some)
    content = zlib.crc32(repr(starts).encode(), content)
    return {'names': _text(names), 'content': _text(content), 'labels': _crc(labels)}


def identify_arrays(inputs: np.ndarray, labels: np.ndarray) -> Identity:
    """Identifies examples in memory by their values, of large arrays by a sample.

    Args:
      inputs: [N, ...].
      labels: [N].

    Returns:
      'content' and 'labels'.
    """
    each = max(1, inputs[:1].nbytes)
    content = zlib.crc32(repr((inputs.shape, inputs.dtype.str)).encode())
    if inputs.nbytes <= _SAMPLED_BYTES:
        rows = range(0, len(inputs), max(1, _BLOCK // each))
        for first in rows:  # In parts: a copy of all of it would double the memory.
            part = inputs[first : first + max(1, _BLOCK // each)]
            content = zlib.crc32(np.ascontiguousarray(part), content)
    else:
        for i in _evenly_spaced(len(inputs), _SAMPLED_BYTES // each or 1):
            content = zlib.crc32(np.ascontiguousarray(inputs[i]), content)
    return {'content': _text(content), 'labels': _crc(labels)}


def identify_shards(paths: Sequence[str]) -> Identity:
    """Identifies files of records by base names, sizes and a sample of their bytes.

    All bytes are read where they are at most 64 MB, else that many, in blocks that are
    evenly spaced over the files: the label of a single record that was changed in
    place may be missed in large files.

    Args:
      paths: the files, in their order.

    Returns:
      'names' and 'content'.
    """
    facts = [(os.path.basename(path), _size(path)) for path in paths]
    names = zlib.crc32(repr([name for name, _ in facts]).encode('utf-8', 'replace'))
    content = zlib.crc32(repr([size for _, size in facts]).encode())
    total = sum(max(size, 0) for _, size in facts)
    share = min(1.0, _SAMPLED_BYTES / max(total, 1))
    for path, (_, size) in zip(paths, facts, strict=True):
        content = _crc_of_file(path, size, share, content)
    return {'names': _text(names), 'content': _text(content)}


def differences(old: Identity, new: Identity, class_names: Sequence[str]) -> str | None:
    """Says how the examples of a split differ from earlier ones; None if they do not.

    Only what both know is compared.

    Args:
      old: identity of the examples before.
      new: identity of the examples now.
      class_names: in the order of the labels, for 'class_counts'.
    """
    changed = {k for k in old.keys() & new.keys() if old[k] != new[k]}
    if not changed:
        return None
    counts = ''
    if 'class_counts' in changed and len(old['class_counts']) == len(class_names):
        counts = ': ' + _listed_counts(
            old['class_counts'], new['class_counts'], class_names
        )
    if 'examples' in changed:
        return f'{old["examples"]} examples before, {new["examples"]} now{counts}'
    if 'content' not in changed:
        if 'labels' in changed:
            return f'the same images, but in other classes{counts}'
        return 'the same content, but files of other names'
    if 'names' in changed:
        return f'other files{counts}'
    return f'other content, with as many examples as before{counts}'


def _listed_counts(old, new, class_names, most=8):
    pairs = zip(class_names, old, new, strict=True)
    parts = [f'{name} {a} before, {b} now' for name, a, b in pairs if a != b]
    more = f', and {len(parts) - most} more classes' if len(parts) > most else ''
    return ', '.join(parts[:most]) + more


def with_counts(
    identity: Mapping[str, Any], labels: np.ndarray, classes: int
) -> Identity:
    """Returns an identity with the number of examples of each class.

    Args:
      identity: see `Identity`.
      labels: integers [N].
      classes: number of classes.
    """
    counts = np.bincount(labels, minlength=classes).tolist()
    return {**identity, 'class_counts': counts}


def _evenly_spaced(size: int, count: int) -> list[int]:
    if size <= count:
        return list(range(size))
    return [i * size // count for i in range(count)]


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def _start(path: str) -> int:
    try:
        with open(path, 'rb') as file:
            return zlib.crc32(file.read(_FILE_START))
    except OSError:
        return -1


def _crc_of_file(path: str, size: int, share: float, crc: int) -> int:
    blocks = max(1, -(-max(size, 0) // _BLOCK))
    try:
        with open(path, 'rb', buffering=0) as file:
            for block in _evenly_spaced(blocks, max(1, int(blocks * share))):
                file.seek(block * _BLOCK)
                crc = zlib.crc32(file.read(_BLOCK), crc)
    except OSError:
        return zlib.crc32(b'unreadable', crc)
    return crc


def _crc(array: np.ndarray) -> str:
    return _text(zlib.crc32(np.ascontiguousarray(array)))


def _text(crc: int) -> str:
    return f'{crc:08x}'
