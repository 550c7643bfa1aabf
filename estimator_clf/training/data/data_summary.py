"""Summary of the data that a program uses: the first lines of its output."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from estimator_clf.core.call_syntax import quote

if TYPE_CHECKING:
    from input.sources.base import DataSource

# Of more classes, the first and the last few are listed.
_MOST_CLASSES = 12
_FIRST, _LAST = 8, 2


def data_summary(
    source: 'DataSource', roles: Mapping[str, str] | None = None
) -> list[str]:
    """Describes a dataset in up to four lines.

    Args:
      source: the dataset.
      roles: dict split -> what it is used for; the other splits are listed as not
        used. None: all are used.

    Returns:
      Lines: classes with their labels and numbers of training examples, images, splits,
      and what is on the disk and not used.
    """
    sizes = source.num_examples
    first = next(iter(roles or ()), 'train')
    split = first if first in sizes else next(iter(sizes))
    lines = []
    if source.class_names:
        lines.append(_classes(source, split))
        lines.append(_images(source, split))
    else:
        lines.append(f'{source.name}: rows of {source.image_shape[0]} numbers')
    parts = []
    for name in sorted(sizes, key=lambda name: name != split):
        role = '' if roles is None else f' ({roles.get(name, "not used")})'
        parts.append(f'{name} {sizes[name]}{role}')
    lines.append('Splits: ' + ', '.join(parts))
    unused = source.skipped.summary()
    return [*lines, unused] if unused else lines


def training_roles(train_split: str, eval_split: str | None) -> dict[str, str]:
    """Returns the roles of the splits of a training run, see `data_summary`."""
    roles = {train_split: 'training'}
    if eval_split:
        roles[eval_split] = 'evaluation'
    # A test split that is not evaluated while training is evaluated at the end.
    roles.setdefault('test', 'evaluation at the end')
    return roles


def _classes(source: 'DataSource', split: str) -> str:
    names = source.class_names
    # Counting the classes of records would read all of them.
    counts = source.class_counts(split).tolist() if source.indexed else None
    shown: Sequence[int] = range(len(names))
    if len(names) > _MOST_CLASSES:
        shown = [*range(_FIRST), *range(len(names) - _LAST, len(names))]
    parts = []
    for number in shown:
        count = f' ({counts[number]})' if counts else ''
        parts.append(f'{number}: {quote(names[number])}{count}')
    if len(names) > _MOST_CLASSES:
        parts.insert(_FIRST, '…')
    of_split = (
        f', label, name and examples in {split}' if counts else ', label and name'
    )
    return f'{source.name}: {len(names)} classes{of_split}: {", ".join(parts)}'


def _images(source: 'DataSource', split: str) -> str:
    height, width, channels = source.image_shape
    color = 'gray' if channels == 1 else 'color'
    text = f'Images: {height}x{width} pixels, {color}'
    stored = sorted(set(source.stored_sizes(split)), key=lambda size: size[0] * size[1])
    if stored and stored != [(height, width)]:
        smallest, largest = ('x'.join(map(str, stored[i])) for i in (0, -1))
        between = smallest if smallest == largest else f'{smallest} to {largest}'
        text += f', resized from {between} (height x width)'
    return text
