"""Some classes only, and only so many training examples of each."""

import dataclasses

import numpy as np

from estimator_clf.core.errors import DataError
from estimator_clf.core.registry import suggest
from input.sampling.stateless_random import mix, mix_text


@dataclasses.dataclass(frozen=True)
class Subset:
    """What to keep of a dataset.

    Attributes:
      classes: names of the classes to keep; none: all. They are numbered again, in the
        order of the dataset.
      exclude: names of classes to leave out.
      per_class: how many examples of each class to keep in `split`; None: all. Which
        ones follows from `seed`: of two numbers, the smaller keeps a part of what the
        larger keeps.
      split: the split that is trained on; the others keep all of their examples.
      seed: int.
    """

    classes: tuple = ()
    exclude: tuple = ()
    per_class: int | None = None
    split: str = 'train'
    seed: int = 0

    def __bool__(self):
        return bool(self.classes or self.exclude or self.per_class)


def select(source, selection):
    """Restricts a source, before anything has been read from it.

    Args:
      source: `input.sources.base.DataSource`.
      selection: `Subset`.

    Raises:
      DataError: no classes, an unknown one, fewer than two left, a split without any,
        or fewer examples than wanted.
    """
    if not source.class_names:
        raise DataError(
            f'`classes`, `exclude_classes` and `examples_per_class` need classes, and '
            f'{source.name} has only numbers'
        )
    kept = _kept_classes(source, selection)
    numbers = np.full(len(source.class_names), -1, np.int32)
    numbers[kept] = np.arange(len(kept))
    places = {}
    for split in source.num_examples:
        labels = numbers[source.labels(split)]
        chosen = np.flatnonzero(labels >= 0)
        if selection.per_class and split == selection.split:
            chosen = _some(source, selection, labels, kept)
        if not len(chosen):
            raise DataError(
                f'`classes`: the split {split!r} of {source.name} has no example of '
                + ', '.join(source.class_names[k] for k in kept)
            )
        places[split] = chosen
    source.restrict(places, numbers, [source.class_names[k] for k in kept])


def _kept_classes(source, selection):
    """Numbers of the classes to keep, increasing."""
    names = list(source.class_names)
    for flag, wanted in (
        ('classes', selection.classes),
        ('exclude_classes', selection.exclude),
    ):
        for name in wanted:
            if name not in names:
                raise DataError(
                    f'`{flag}`: {source.name} has no class {name!r}'
                    f'{suggest(name, names)} There are: {", ".join(names)}'
                )
    kept = [
        number
        for number, name in enumerate(names)
        if name not in selection.exclude
        and (not selection.classes or name in selection.classes)
    ]
    if len(kept) < 2:
        raise DataError(
            '`classes` and `exclude_classes` must leave at least two classes, they '
            f'leave: {", ".join(names[k] for k in kept) or "none"}'
        )
    return kept


def _some(source, selection, labels, kept):
    """Places of `per_class` examples of each class, increasing."""
    salt = np.uint64(mix_text(f'examples_per_class {selection.seed}'))
    rank = mix(np.arange(len(labels), dtype=np.uint64) + salt)
    chosen = []
    for number, name in enumerate(source.class_names[k] for k in kept):
        there = np.flatnonzero(labels == number)
        if len(there) < selection.per_class:
            raise DataError(
                f'`examples_per_class={selection.per_class}` must be at most the '
                f'{len(there)} examples of {name!r} in the split {selection.split!r}'
            )
        best = np.argsort(rank[there], kind='stable')[: selection.per_class]
        chosen.append(there[best])
    return np.sort(np.concatenate(chosen))
