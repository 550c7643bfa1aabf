"""From the durations of the settings to steps of the dataset at hand."""

import dataclasses
import math

from estimator_clf.core.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Plan:
    """A run in numbers of steps.

    Attributes:
      start_step: where this process begins; above 0 if it goes on.
      total_steps: where the run ends.
      steps_per_epoch: float.
      log_every: interval of the training metrics, see
      `estimator_clf.core.intervals.due`.
      save_every: interval of the checkpoints.
      eval_every: interval of evaluation; 0: at the end only.
      eval_split: what is evaluated while training, or None.
    """

    start_step: int
    total_steps: int
    steps_per_epoch: float
    log_every: float
    save_every: float
    eval_every: float
    eval_split: str | None

    @property
    def sample_every(self):
        """Interval of the sample images and of the histograms."""
        return self.eval_every or self.total_steps

    @property
    def complete(self):
        """Whether nothing is left to do."""
        return self.start_step >= self.total_steps


def make_plan(config, source, start_step=0):
    """Turns the durations of the settings into steps of this dataset.

    Args:
      config: `estimator_clf.config.config.Config`.
      source: `input.sources.base.DataSource`.
      start_step: where this process begins.

    Returns:
      `Plan`.

    Raises:
      ConfigError: a split that there is not.
    """
    if config.train_split not in source.num_examples:
        raise ConfigError(
            f'`train_split={config.train_split}`: {source.name} has no such split; it '
            f'has: {", ".join(source.num_examples)}'
        )
    size = source.num_examples[config.train_split]
    total = config.total_steps(size)
    per_epoch = size / config.batch_size
    # An equal part of the epoch, so that no rest of it is left at its checkpoint.
    log_every = max(1.0, per_epoch / math.ceil(per_epoch / 100))
    if config.log_every:
        log_every = config.interval('log_every', size)
    return Plan(
        start_step=start_step,
        total_steps=total,
        steps_per_epoch=per_epoch,
        log_every=log_every,
        save_every=config.interval('save_every', size),
        eval_every=config.interval('eval_every', size),
        eval_split=evaluation_split(config, source),
    )


def evaluation_split(config, source):
    """Returns the split to evaluate on while training, or None."""
    if config.eval_split:
        if config.eval_split not in source.num_examples:
            raise ConfigError(
                f'`eval_split={config.eval_split}`: {source.name} has no such split; '
                f'it has: {", ".join(source.num_examples)}'
            )
        if config.eval_split == config.train_split:
            raise ConfigError(
                f'`eval_split={config.eval_split}` is the split that is trained on; '
                'hold some out with `validation_split=0.1`'
            )
        return config.eval_split
    for split in ('validation', 'test'):
        if split in source.num_examples and split != config.train_split:
            return split
    return None


def evaluation_input(config, source, split):
    """Makes the input_fn of an evaluation."""
    return source.input_fn(
        split,
        config.eval_batch_size or config.batch_size,
        eval_crop=config.eval_crop,
    )
