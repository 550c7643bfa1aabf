"""Classes without an example in the split that is trained on or evaluated."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from estimator_clf.core.call_syntax import quote

if TYPE_CHECKING:
    from input.sources.base import DataSource

_LISTED = 8


def class_gaps(
    source: 'DataSource', train_split: str, eval_split: str | None
) -> Iterator[str]:
    """Yields a message for each split in which classes have no example.

    Args:
      source: data of the run.
      train_split: the split that is trained on.
      eval_split: the split that is evaluated while training, or None.
    """
    absent = source.absent_classes(train_split)
    if absent:
        hint = ''
        if 0 in absent and source.absent_hint:
            hint = f'{source.absent_hint}. '
        if len(source.class_names) - len(absent) >= 2:
            names = ','.join(quote(source.class_names[k]) for k in absent[:_LISTED])
            if len(absent) > _LISTED:
                names += ',…'
            hint += f'To train without them, set `exclude_classes={names}`. '
        yield (
            f'{_listed(source, absent)} no example in the split {train_split!r}: the '
            f'network learns nothing about {_them(absent)}. {hint}'.rstrip()
        )
    if eval_split:
        unseen = sorted(set(source.absent_classes(eval_split)) - set(absent))
        if unseen:
            yield (
                f'{_listed(source, unseen)} no example in the split {eval_split!r}: '
                f'the metrics say nothing about {_them(unseen)}.'
            )


def _listed(source: 'DataSource', labels: list[int]) -> str:
    names = ', '.join(repr(source.class_names[k]) for k in labels[:_LISTED])
    more = ', …' if len(labels) > _LISTED else ''
    verb = 'has' if len(labels) == 1 else 'have'
    return (
        f'{len(labels)} of the {len(source.class_names)} classes ({names}{more}) {verb}'
    )


def _them(labels: list[int]) -> str:
    return 'it' if len(labels) == 1 else 'them'
