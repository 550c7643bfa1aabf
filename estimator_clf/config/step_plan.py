"""Converts the durations of the settings to steps of a dataset."""

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from estimator_clf.config.config import Config
from estimator_clf.core.errors import ConfigError

if TYPE_CHECKING:
    from input.sources.base import DataSource


@dataclasses.dataclass(frozen=True)
class StepPlan:
    """Length and intervals of a run, in steps.

    Attributes:
      start_step: where this process starts; above 0 for a resumed run.
      total_steps: where the run ends.
      steps_per_epoch: not necessarily whole.
      log_every: interval of training metrics, see `estimator_clf.core.intervals.due`.
      save_every: interval of checkpoints.
      eval_every: interval of evaluations; 0: at the end only.
      eval_split: the split that is evaluated while training, or None.
    """

    start_step: int
    total_steps: int
    steps_per_epoch: float
    log_every: float
    save_every: float
    eval_every: float
    eval_split: str | None

    @property
    def sample_every(self) -> float:
        """Interval of sample images and histograms."""
        return self.eval_every or self.total_steps

    @property
    def complete(self) -> bool:
        """Whether the run has all its steps."""
        return self.start_step >= self.total_steps


def make_plan(config: Config, source: 'DataSource', start_step: int = 0) -> StepPlan:
    """Converts the durations of the settings to steps.

    Args:
      config: settings of the run.
      source: `input.sources.base.DataSource` of its data.
      start_step: where this process starts.

    Raises:
      ConfigError: a split that does not exist.
    """
    split = config.data.train_split
    if split not in source.num_examples:
        raise ConfigError(
            f'`train_split={split}`: {source.name} has no such split; it has: '
            + ', '.join(source.num_examples)
        )
    size = source.num_examples[split]
    steps_per_epoch = size / config.batch_size
    # Divides the epoch evenly, so that no partial interval remains at its checkpoint.
    log_every = max(1.0, steps_per_epoch / math.ceil(steps_per_epoch / 100))
    if config.run.log_every:
        log_every = config.interval('log_every', size)
    return StepPlan(
        start_step=start_step,
        total_steps=config.total_steps(size),
        steps_per_epoch=steps_per_epoch,
        log_every=log_every,
        save_every=config.interval('save_every', size),
        eval_every=config.interval('eval_every', size),
        eval_split=evaluation_split(config, source),
    )


def evaluation_split(config: Config, source: 'DataSource') -> str | None:
    """Returns the split that is evaluated while training, or None.

    Raises:
      ConfigError: `eval_split` names a split that does not exist or is trained on.
    """
    split = config.evaluation.eval_split
    if split:
        if split not in source.num_examples:
            raise ConfigError(
                f'`eval_split={split}`: {source.name} has no such split; it has: '
                + ', '.join(source.num_examples)
            )
        if split == config.data.train_split:
            raise ConfigError(
                f'`eval_split={split}` is the split that is trained on; hold out some '
                'of it with `validation_split=0.1`'
            )
        return split
    for default in ('validation', 'test'):
        if default in source.num_examples and default != config.data.train_split:
            return default
    return None


def evaluation_input(config: Config, source: 'DataSource', split: str) -> Callable:
    """Makes the input_fn of an evaluation."""
    return source.input_fn(
        split,
        config.eval_batch_size,
        eval_crop=config.data.eval_crop,
    )
