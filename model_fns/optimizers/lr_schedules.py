"""Learning rate schedules: functions of the global step, as TensorFlow ops."""

import math

import tensorflow as tf

from model_fns.optimizers import config


def learning_rate(
    step: int | tf.Tensor,
    *,
    base: float,
    schedule: str = 'constant',
    total_steps: int | None = None,
    warmup_steps: int = 0,
    decay_rate: float = 0.1,
    boundaries: tuple[float, ...] = config.DEFAULT_BOUNDARIES,
    power: float = 1.0,
    end: float = 0.0,
    warmup_from: float = 0.0,
) -> tf.Tensor:
    """Computes the learning rate of a step.

    During the first `warmup_steps` steps the rate rises linearly from `base *
    warmup_from` to `base` (Goyal et al., 2017, section 2.2, from 0). After that, with
    `p` rising from 0 at the end of the warm-up to 1 at `total_steps`, and 1 from there:

        constant     base
        step         base * decay_rate ** (boundaries with step >= boundary)
        exponential  base * decay_rate ** p
        polynomial   end + (base - end) * (1 - p) ** power
        cosine       end + (base - end) * (1 + cos(pi * p)) / 2

    The boundaries of `step` are counted from step 0, including the warm-up, as papers
    count them.

    Args:
      step: scalar of an integer type.
      base: the rate at the end of the warm-up.
      schedule: one of `config.SCHEDULES`.
      total_steps: steps of the whole run; not required by `constant`, nor by `step`
        where all boundaries are steps.
      warmup_steps: length of the warm-up in steps.
      decay_rate: see above.
      boundaries: below 1 a fraction of `total_steps`, otherwise a step.
      power: see above.
      end: the rate at `total_steps`.
      warmup_from: see above; at least 0 and below 1.

    Returns:
      float32 scalar.

    Raises:
      SettingError: an invalid argument.
    """
    config.check_schedule(
        base=base,
        schedule=schedule,
        total_steps=total_steps,
        warmup_steps=warmup_steps,
        decay_rate=decay_rate,
        boundaries=boundaries,
        power=power,
        end=end,
        warmup_from=warmup_from,
    )
    # float64, because float32 does not represent all steps above 2 ** 24.
    step = tf.cast(step, tf.float64)
    if schedule == 'constant':
        rate = tf.constant(base, tf.float64)
    elif schedule == 'step':
        steps = config.boundary_steps(boundaries, total_steps)
        count = tf.reduce_sum(
            tf.cast(step >= tf.constant(steps, tf.float64), tf.float64)
        )
        rate = base * tf.constant(decay_rate, tf.float64) ** count
    else:
        assert total_steps is not None  # By `check_schedule`.
        length = max(total_steps - warmup_steps, 1)
        progress = tf.clip_by_value((step - warmup_steps) / length, 0.0, 1.0)
        if schedule == 'exponential':
            rate = base * tf.constant(decay_rate, tf.float64) ** progress
        elif schedule == 'polynomial':
            rate = end + (base - end) * (1.0 - progress) ** power
        else:
            rate = end + (base - end) * (1.0 + tf.cos(math.pi * progress)) / 2.0
    if warmup_steps:
        share = warmup_from + (1.0 - warmup_from) * step / warmup_steps
        rate = tf.where(step < warmup_steps, base * share, rate)
    return tf.cast(rate, tf.float32)
