"""Finds the TFRecord shards of each split by their file names."""

import os
import re

from estimator_clf.core.errors import DataError
from estimator_clf.core.paths import special_file
from input.split_names import canonical

# train-00000-of-00008, also with endings before or after: TFDS writes
# mnist-train.tfrecord-00000-of-00001.
_RECORD = r'\.(?:tfrecords?|tfrec|records?)'
_PACKED = r'(?:\.(?:gz|gzip|zlib|zz?))?'
_NUMBERED = re.compile(rf'^(.+?)[-_.](\d+)-of-(\d+)((?:{_RECORD})?{_PACKED})$')
_SINGLE = re.compile(rf'^(.+?){_RECORD}{_PACKED}$')

_LAYOUTS = (
    'Expected DIR/<split>-00000-of-00008 (or with the ending .tfrecord), '
    'DIR/<split>.tfrecord, or DIR/<split>/..., where <split> is train, validation or '
    'test'
)


def find_shards(data_dir: str) -> dict[str, list[str]]:
    """Finds the TFRecord files.

    Args:
      data_dir: directory with `<split>-00000-of-00008`, with any ending; or
        `<split>.tfrecord`; or directories `<split>` of such files, with any names. Or
        a single file, which is the training split.

    Returns:
      dict split -> paths, in order. Known names become 'train', 'validation' or
      'test', others do not change; if there is only one, it is 'train'.

    Raises:
      DataError: no files, a missing shard, two directories that are the same split.
    """
    if os.path.isfile(data_dir):
        return {'train': [data_dir]}
    if not os.path.isdir(data_dir):
        raise DataError(
            f'`data_dir` must be a directory or a TFRecord file, but {data_dir} '
            + (f'is {kind}' if (kind := special_file(data_dir)) else 'does not exist')
        )
    found: dict[str, tuple[str, list[str]]] = {}  # split -> (its name on disk, paths)

    def add(split, source, paths):
        if split in found:
            raise DataError(
                f'{data_dir}: {found[split][0]} and {source} are both the {split} '
                'split; retain one'
            )
        found[split] = (source, paths)

    for prefix, paths in _groups(data_dir).items():
        add(_split(prefix), prefix, paths)
    for name in sorted(os.listdir(data_dir)):
        path = os.path.join(data_dir, name)
        split = canonical(name)
        if split and os.path.isdir(path):
            paths = [p for group in _groups(path).values() for p in group]
            if paths:
                add(split, name, paths)
    if not found:
        raise DataError(f'{data_dir} contains no TFRecord files. {_LAYOUTS}')
    if 'train' not in found and len(found) == 1:
        found = {'train': next(iter(found.values()))}
    if 'train' not in found:
        raise DataError(
            f'{data_dir} has no training split, only {", ".join(sorted(found))}. '
            + _LAYOUTS
        )
    return {split: paths for split, (_, paths) in found.items()}


def _groups(directory: str) -> dict[str, list[str]]:
    """Returns dict prefix -> paths of the files that belong together."""
    groups: dict[str, dict[int, str]] = {}
    totals: dict[str, tuple[str, str]] = {}
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if name.startswith('.') or not os.path.isfile(path):
            continue
        if match := _NUMBERED.match(name):
            prefix, number, total, ending = match.groups()
            known = groups.setdefault(prefix, {})
            if totals.setdefault(prefix, (total, ending)) != (total, ending):
                raise DataError(
                    f'{directory}: the shards {prefix}-... are of two sets, one of '
                    f'{totals[prefix][0]} and one of {total} ({name}); retain one'
                )
            known[int(number)] = path
        elif match := _SINGLE.match(name):
            groups[name] = {0: path}
    for prefix, (total, ending) in totals.items():
        missing = sorted(set(range(int(total))) - set(groups[prefix]))
        if missing:
            name = f'{prefix}-{missing[0]:0{len(total)}d}-of-{total}{ending}'
            more = f' and {len(missing) - 1} more' if len(missing) > 1 else ''
            raise DataError(f'{directory}: the shard {name}{more} is missing')
    return {p: [paths[n] for n in sorted(paths)] for p, paths in groups.items()}


def _split(prefix: str) -> str:
    match = _SINGLE.match(prefix)
    stem = match.group(1) if match else prefix
    last = re.split(r'[-_.]', stem)[-1]
    return canonical(stem) or canonical(last) or stem
