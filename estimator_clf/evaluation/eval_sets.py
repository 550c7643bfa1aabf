"""What is evaluated beside the training, under which name and how often."""

import dataclasses
from collections.abc import Callable

from estimator_clf.config import eval_set_specs
from estimator_clf.config.step_plan import evaluation_input
from estimator_clf.core import intervals
from estimator_clf.core.errors import ConfigError

# Which split of another directory is meant where none is named.
_USUAL = ('test', 'validation', 'train')


@dataclasses.dataclass(frozen=True)
class EvalSet:
    """A set of examples that is evaluated.

    Attributes:
      name: what its metrics are filed under; a split's name, usually.
      input_fn: function without arguments that returns a tf.data.Dataset that ends.
      num_examples: how many it has.
      every: interval in steps, see `estimator_clf.core.intervals.due`; 0: the last
        checkpoint only; None: when the training is over, by itself.
      plain_input_fn: where `input_fn` computes features first, the same without them,
        for who asks what is evaluated and not what comes out; else None.
    """

    name: str
    input_fn: Callable
    num_examples: int
    every: float | None = None
    plain_input_fn: Callable | None = None


def eval_sets(config, source, plan, open_directory=None, cache=None):
    """Makes the list of what a run evaluates.

    First `plan.eval_split`, then `extra_eval_sets`, then, once the training is over,
    the validation and test splits that are not among them.

    Args:
      config: `Config`.
      source: `input.sources.base.DataSource`.
      plan: `Plan`.
      open_directory: function from a directory to the `DataSource` of it, with the classes
      and
        image size of `source`.
      cache: `FeatureCache`, for the splits of `source`; or None.

    Returns:
      List of `EvalSet`.

    Raises:
      ConfigError: a split that there is not, a name twice.
    """
    sets = []

    def input_of(split):
        made = evaluation_input(config, source, split)
        # Several passes are those of a network that is random.
        usable = cache and config.eval_samples == 1
        return (cache.evaluation_input(made, split), made) if usable else (made, None)

    if plan.eval_split in eval_set_specs.RESERVED_NAMES:
        raise ConfigError(
            f'`eval_split={plan.eval_split}`: the run needs this name itself, in '
            'metrics.jsonl or for a directory; give the split another: '
            f'`extra_eval_sets=on_{plan.eval_split}({plan.eval_split})`'
        )
    if plan.eval_split:
        made, plain = input_of(plan.eval_split)
        size = source.num_examples[plan.eval_split]
        every = plan.eval_every
        sets.append(EvalSet(plan.eval_split, made, size, every, plain))
    for wish in eval_set_specs.parse(config.evaluation.extra_eval_sets):
        if wish.name in {known.name for known in sets}:
            raise ConfigError(
                f'`extra_eval_sets`: {wish.name!r} is evaluated already (`eval_split`); '
                'give it another name, or leave it out'
            )
        if wish.name in source.num_examples and (
            wish.data_dir or wish.name != wish.split
        ):
            raise ConfigError(
                f'`extra_eval_sets`: {wish.name!r} is a split of {source.name} itself; '
                'give the other examples a name of their own: '
                f'NAME({wish.split or "data_dir=" + wish.data_dir})'
            )
        other = open_directory(wish.data_dir) if wish.data_dir else source
        other.corrupt_images = source.corrupt_images
        every = intervals.interval(
            wish.every, 'extra_eval_sets', plan.steps_per_epoch, plan.total_steps
        )
        split = _split_of(wish, other)
        made, size = evaluation_input(config, other, split), other.num_examples[split]
        sets.append(EvalSet(wish.name, made, size, every))
    names = {known.name for known in sets} | {config.train_split}
    for split in ('validation', 'test'):
        if split in source.num_examples and split not in names:
            made, _ = input_of(split)
            sets.append(EvalSet(split, made, source.num_examples[split]))
    return sets


def _split_of(wish, source):
    split = wish.split
    if not split:
        split = next((s for s in _USUAL if s in source.num_examples), '')
    if split not in source.num_examples:
        raise ConfigError(
            f'`extra_eval_sets={wish.name}`: {source.name} has no split '
            f'{split!r}; it has: {", ".join(source.num_examples)}'
        )
    return split
