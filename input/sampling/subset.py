"""Restricts a dataset to a subset of classes and of training examples per class."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from estimator_clf.core.call_syntax import quote
from estimator_clf.core.errors import DataError
from estimator_clf.core.registry import suggest
from input.sampling.stateless_random import mix, mix_text


class RestrictableSource(Protocol):
    """The part of `input.sources.base.DataSource` that `select` uses."""

    name: str
    class_names: tuple[str, ...]

    @property
    def num_examples(self) -> dict[str, int]:
        """dict split -> number of examples."""

    def labels(self, split: str) -> np.ndarray:
        """Returns the labels of a split, integers [N]."""

    def restrict(
        self,
        places: Mapping[str, np.ndarray],
        numbers: np.ndarray,
        class_names: Sequence[str],
    ) -> None:
        """Retains some examples only."""


@dataclasses.dataclass(frozen=True)
class Subset:
    """The classes and examples of a dataset to use.

    Attributes:
      classes: names of the classes to use; none: all. They are renumbered, in the
        order of the dataset.
      exclude: names of classes to exclude.
      per_class: number of examples of each class to use in `split`; None: all. Which
        ones follows from `seed`: the examples of a smaller number are among those of a
        larger one.
      split: the training split; all examples of the others are used.
      seed: seed of the choice of examples.
    """

    classes: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    per_class: int | None = None
    split: str = 'train'
    seed: int = 0

    def __bool__(self) -> bool:
        return bool(self.classes or self.exclude or self.per_class)


def select(source: RestrictableSource, selection: Subset) -> None:
    """Restricts a source; must come before anything is read from it.

    Args:
      source: the dataset.
      selection: the classes and examples to use.

    Raises:
      DataError: no classes, an unknown one, fewer than two remaining, a split without
        any, or fewer examples than requested.
    """
    if not source.class_names:
        raise DataError(
            f'`classes`, `exclude_classes` and `examples_per_class` need classes, and '
            f'{source.name} has only numbers'
        )
    retained = _retained_classes(source, selection)
    numbers = np.full(len(source.class_names), -1, np.int32)
    numbers[retained] = np.arange(len(retained))
    places = {}
    for split in source.num_examples:
        labels = numbers[source.labels(split)]
        chosen = np.flatnonzero(labels >= 0)
        if selection.per_class and split == selection.split:
            chosen = _some(source, selection, selection.per_class, labels, retained)
        if not len(chosen):
            raise DataError(
                f'`classes`: the split {split!r} of {source.name} has no example of '
                + ', '.join(source.class_names[k] for k in retained)
            )
        places[split] = chosen
    source.restrict(places, numbers, [source.class_names[k] for k in retained])


def _retained_classes(source: RestrictableSource, selection: Subset) -> list[int]:
    """Returns the numbers of the classes to use, increasing."""
    names = list(source.class_names)
    for argument, requested in (
        ('classes', selection.classes),
        ('exclude_classes', selection.exclude),
    ):
        for name in requested:
            if name not in names:
                raise DataError(
                    f'`{argument}`: {source.name} has no class {name!r}'
                    f'{suggest(name, names)} There are: {", ".join(names)}'
                )
    retained = [
        number
        for number, name in enumerate(names)
        if name not in selection.exclude
        and (not selection.classes or name in selection.classes)
    ]
    if len(retained) < 2:
        raise DataError(
            '`classes` and `exclude_classes` must leave at least two classes, they '
            f'leave: {", ".join(names[k] for k in retained) or "none"}'
        )
    return retained


def _some(
    source: RestrictableSource,
    selection: Subset,
    per_class: int,
    labels: np.ndarray,
    retained: Sequence[int],
) -> np.ndarray:
    """Returns the indices of `per_class` examples of each class, increasing."""
    salt = np.uint64(mix_text(f'examples_per_class {selection.seed}'))
    rank = mix(np.arange(len(labels), dtype=np.uint64) + salt)
    chosen = []
    for number, name in enumerate(source.class_names[k] for k in retained):
        there = np.flatnonzero(labels == number)
        if len(there) < per_class:
            raise DataError(
                f'`examples_per_class={per_class}` must be at most the '
                f'{len(there)} examples of {name!r} in the split {selection.split!r}; '
                f'or omit that class with `exclude_classes={quote(name)}`'
            )
        best = np.argsort(rank[there], kind='stable')[:per_class]
        chosen.append(there[best])
    return np.sort(np.concatenate(chosen))
