"""Changes of the learning rate schedule of a run that is resumed."""

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from estimator_clf.config.config import Config
from estimator_clf.core.errors import UserError
from estimator_clf.training.models import build_optimizer_spec
from model_fns.optimizers.config import OptimizerSpec
from model_fns.optimizers.lr_schedules import learning_rate

# Settings that may change in a run, and on which its schedule depends.
_SETTINGS = ('epochs', 'max_steps', 'schedule_length')

v1 = tf.compat.v1


def describe(before: Config, now: Config, num_examples: int, step: int) -> str | None:
    """Says how a resumed run departs from the schedule that it had so far.

    Args:
      before: settings of the run so far.
      now: its settings now.
      num_examples: number of training examples.
      step: step at which it is resumed.

    Returns:
      A sentence; None if the schedule stays.
    """
    lengths = [config.schedule_steps(num_examples) for config in (before, now)]
    if lengths[0] == lengths[1]:
        return None
    try:
        specs = [build_optimizer_spec(config, num_examples) for config in (before, now)]
    except UserError:  # Reported where the model is built.
        return None
    same = _schedule(specs[0]) == _schedule(specs[1])
    if same and not specs[1].lookahead:
        return None
    effect = 'lookahead' if same else 'the learning rate'
    text = (
        f'{_changed(before, now)}: the schedule of {effect} now has {lengths[1]} steps '
        f'instead of {lengths[0]}'
    )
    if not same:
        rates = [_rate(spec, step) for spec in specs]
        text += f', and at step {step} the rate '
        if rates[0] == rates[1]:
            text += f'is {rates[0]:.4g} as before, but not at all later steps'
        else:
            text += f'changes from {rates[0]:.4g} to {rates[1]:.4g}'
    return (
        f'{text}. To keep the schedule of the run so far, set '
        f'`schedule_length={_length(before)}`.'
    )


def _changed(before: Config, now: Config) -> str:
    """Lists the settings that changed, as `epochs=20` (10 before)."""
    old, new = before.to_flat(), now.to_flat()
    parts = []
    for name in _SETTINGS:
        if old[name] != new[name]:
            parts.append(f'`{name}={_shown(new[name])}` ({_shown(old[name])} before)')
    return ', '.join(parts)


def _shown(value: object) -> str:
    return f'{value:g}' if isinstance(value, float) else str(value or 'not set')


def _length(config: Config) -> str:
    """The `schedule_length` that a run had."""
    if config.optimization.schedule_length:
        return config.optimization.schedule_length
    return str(config.run.max_steps or f'{config.run.epochs or 10:g}epochs')


def _schedule(spec: OptimizerSpec) -> dict:
    """What determines the learning rate of each step."""
    arguments = spec.rate_arguments()
    if spec.schedule in ('constant', 'step'):  # Their boundaries are in steps.
        del arguments['total_steps']
    return arguments


def _rate(spec: OptimizerSpec, step: int) -> float:
    with tf.Graph().as_default(), v1.Session() as session:
        at = tf.constant(step, tf.int64)
        return float(session.run(learning_rate(at, **spec.rate_arguments())))
