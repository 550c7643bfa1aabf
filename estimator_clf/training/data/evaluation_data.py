"""Opens data for the evaluation of a run that has ended: its own, or other data."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from estimator_clf.config.config import Config
from estimator_clf.core.errors import ConfigError, DataError
from estimator_clf.training.data.datasets import open_source
from input import fingerprint
from input.dataset_info import DatasetInfo

if TYPE_CHECKING:
    from input.sources.base import DataSource


@dataclasses.dataclass(frozen=True)
class EvaluationData:
    """Data to evaluate.

    Attributes:
      source: its `DataSource`.
      splits: names of the splits to evaluate.
      note: what a user should know about the data, or ''.
    """

    source: 'DataSource'
    splits: list[str]
    note: str = ''


def open_evaluation_data(
    config: Config, info: DatasetInfo, data_dir: str, splits: Sequence[str] = ()
) -> EvaluationData:
    """Opens the data of a run, moved or not, or other data of the same classes.

    The data of the run is divided as in training, and its validation and test splits
    are evaluated by default. Of other data nothing was trained on: no part of it is
    held out, and by default all of it is evaluated.

    Args:
      config: settings of the run.
      info: description of its data.
      data_dir: another directory (or file) than that of the run, or ''.
      splits: the splits to evaluate; empty: by default.

    Raises:
      ConfigError: no such split, or no default.
      DataError: data that cannot be read, or of other classes.
    """
    if not data_dir or data_dir == config.data.data_dir:
        source = open_source(config, info)
        change = _difference(source, info)
        note = change and f'The data of the run has changed since: {change}'
        return EvaluationData(source, _own_splits(source, splits), note)
    config = config.replace(data_dir=data_dir)
    whole = config.replace(validation_split=0.0, examples_per_class=None)
    divided = whole == config
    try:
        source = open_source(config, info)
        change = _difference(source, info)
    except DataError as error:  # Such as a validation split that exists already.
        if divided:
            raise
        change = str(error)
    if not change:
        return EvaluationData(source, _own_splits(source, splits))
    if 'validation' in splits and not divided:
        # It is named: the part that the run would hold out, if there is no other.
        other = open_source(whole, info)
        if 'validation' not in other.num_examples:
            other = open_source(config, info)
    else:
        other = source if divided else open_source(whole, info)
    chosen = list(splits) or list(other.num_examples)
    _check(other, chosen)
    listed = ', '.join(f'{s} ({other.num_examples[s]:,} examples)' for s in chosen)
    note = f'{data_dir} is not the data of the run ({change}). Evaluating {listed}'
    if not splits:
        note += ': all of it'
    return EvaluationData(other, chosen, note)


def _own_splits(source: 'DataSource', splits: Sequence[str]) -> list[str]:
    chosen = list(splits)
    if not chosen:
        chosen = [s for s in ('validation', 'test') if s in source.num_examples]
    if not chosen:
        raise ConfigError(
            f'`split` must be given: {source.name} has only '
            + ', '.join(source.num_examples)
        )
    _check(source, chosen)
    return chosen


def _check(source: 'DataSource', splits: Sequence[str]) -> None:
    for split in splits:
        if split not in source.num_examples:
            raise ConfigError(
                f'`split`: {source.name} has no split {split!r}; it has: '
                + ', '.join(source.num_examples)
            )


def _difference(source: 'DataSource', info: DatasetInfo) -> str:
    """Says how a source differs from the data of a run; '' if it does not."""
    known = info.fingerprints or {}
    for split, size in info.num_examples.items():
        if split not in source.num_examples:
            return f'it has no split {split!r}'
        new = {'examples': source.num_examples[split]}
        if split in known:  # A run of an older version has none.
            new = source.identity(split)
        change = fingerprint.differences(
            {**known.get(split, {}), 'examples': size}, new, info.class_names
        )
        if change:
            return f'{split}: {change}'
    return ''
