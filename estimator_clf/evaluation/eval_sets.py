"""Evaluation sets of a run: their names, examples and intervals."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from estimator_clf.config import eval_set_specs
from estimator_clf.config.config import Config
from estimator_clf.config.step_plan import StepPlan, evaluation_input
from estimator_clf.core import intervals
from estimator_clf.core.errors import ConfigError

if TYPE_CHECKING:
    from input.sources.base import DataSource

# Splits of another directory, in order of preference, if none is named.
_DEFAULT_SPLITS = ('test', 'validation', 'train')


@dataclasses.dataclass(frozen=True)
class EvalSet:
    """A set of examples to evaluate.

    Attributes:
      name: name of the set in metrics and directories, usually that of a split.
      input_fn: returns a finite dataset of (features, labels).
      num_examples: number of examples.
      every: interval in steps, see `estimator_clf.core.intervals.due`; 0: the last
        checkpoint only; None: once, after training.
      plain_input_fn: if `input_fn` computes features first, the same input without
        them, for callers that need the structure and not the values; else None.
      identity: of the examples, if they are of another directory than the run's, see
        `input.fingerprint.Identity`; else None.
    """

    name: str
    input_fn: Callable
    num_examples: int
    every: float | None = None
    plain_input_fn: Callable | None = None
    identity: dict[str, Any] | None = None


def make_eval_sets(
    config: Config,
    source: 'DataSource',
    plan: StepPlan,
    open_directory: Callable[[str], 'DataSource'] | None = None,
    cache: Any = None,
) -> list[EvalSet]:
    """Lists the evaluation sets of a run.

    First `plan.eval_split`, then `extra_eval_sets`, then the remaining validation and
    test splits, which are evaluated once after training.

    Args:
      config: settings of the run.
      source: data of the run.
      plan: intervals, and the split that is evaluated while training.
      open_directory: opens another directory with the classes and the image size of
        `source`; required if `extra_eval_sets` has a `data_dir`.
      cache: `FeatureCache` for the splits of `source`, or None.

    Raises:
      ConfigError: a split does not exist, or two sets have the same name.
    """
    sets: list[EvalSet] = []

    def input_of(split):
        plain = evaluation_input(config, source, split)
        # Cached features are constant; a stochastic ensemble needs a random network.
        if cache is None or config.evaluation.eval_samples > 1:
            return plain, None
        return cache.evaluation_input(plain, split), plain

    if plan.eval_split in eval_set_specs.RESERVED_NAMES:
        raise ConfigError(
            f'`eval_split={plan.eval_split}`: this name is reserved in metrics.jsonl '
            'or the directory of the run; evaluate the split under another name: '
            f'`extra_eval_sets=on_{plan.eval_split}({plan.eval_split})`'
        )
    if plan.eval_split:
        input_fn, plain = input_of(plan.eval_split)
        size = source.num_examples[plan.eval_split]
        sets.append(EvalSet(plan.eval_split, input_fn, size, plan.eval_every, plain))
    for spec in eval_set_specs.parse(config.evaluation.extra_eval_sets):
        if spec.name in {known.name for known in sets}:
            raise ConfigError(
                f'`extra_eval_sets`: {spec.name!r} is evaluated already, by '
                '`eval_split`; rename or remove the entry'
            )
        if spec.name in source.num_examples and (
            spec.data_dir or spec.name != spec.split
        ):
            raise ConfigError(
                f'`extra_eval_sets`: {spec.name!r} is a split of {source.name} itself; '
                'give the other examples a name of their own: '
                f'NAME({spec.split or "data_dir=" + spec.data_dir})'
            )
        other = source
        if spec.data_dir:
            if open_directory is None:
                raise ValueError('a set of another directory needs `open_directory`')
            other = open_directory(spec.data_dir)
        other.corrupt_images = source.corrupt_images
        every = intervals.interval(
            spec.every, 'extra_eval_sets', plan.steps_per_epoch, plan.total_steps
        )
        split = _resolve_split(spec, other)
        input_fn = evaluation_input(config, other, split)
        identity = other.identity(split) if spec.data_dir else None
        sets.append(
            EvalSet(
                spec.name, input_fn, other.num_examples[split], every, identity=identity
            )
        )
    names = {known.name for known in sets} | {config.data.train_split}
    for split in ('validation', 'test'):
        if split in source.num_examples and split not in names:
            input_fn, _ = input_of(split)
            sets.append(EvalSet(split, input_fn, source.num_examples[split]))
    return sets


def _resolve_split(spec: eval_set_specs.EvalSetSpec, source: 'DataSource') -> str:
    split = spec.split
    if not split:
        split = next((s for s in _DEFAULT_SPLITS if s in source.num_examples), '')
    if split not in source.num_examples:
        raise ConfigError(
            f'`extra_eval_sets={spec.name}`: {source.name} has no split '
            f'{split!r}; it has: {", ".join(source.num_examples)}'
        )
    return split
