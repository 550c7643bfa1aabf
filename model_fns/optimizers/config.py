"""Specification of an optimizer and its learning rate schedule. Free of TensorFlow."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from estimator_clf.core import errors, variable_patterns
from model_fns.specs import check_number

OPTIMIZERS = {
    'sgd': 'gradient descent',
    'momentum': 'gradient descent with momentum (Polyak, 1964)',
    'nesterov': "gradient descent with Nesterov's momentum (Sutskever et al., 2013)",
    'adam': 'Adam (Kingma and Ba, 2015)',
    'adamw': 'Adam with decoupled weight decay (Loshchilov and Hutter, 2019)',
    'muon': 'Muon (Jordan et al., 2024) for the kernels and matrices of hidden layers',
    'rmsprop': 'RMSProp (Tieleman and Hinton, 2012)',
    'adagrad': 'Adagrad (Duchi et al., 2011)',
    'adadelta': 'Adadelta (Zeiler, 2012)',
    'ftrl': 'Follow the regularized leader (McMahan et al., 2013), for linear networks',
}

SCHEDULES = {
    'constant': 'the same rate in all steps',
    'step': 'times `decay_rate` at each boundary',
    'exponential': 'falls by a constant factor per step, to `decay_rate` of the base',
    'polynomial': 'falls to the end rate as (1 - progress) ** power',
    'cosine': 'falls to the end rate along half a cosine (Loshchilov, Hutter, 2017)',
}

# Optimizers whose weight decay is not added to the gradient.
DECOUPLED = ('adamw', 'muon')

# Half and three quarters of the steps: He et al., 2016, section 4.2 (CIFAR-10).
DEFAULT_BOUNDARIES = (0.5, 0.75)


@dataclasses.dataclass(frozen=True)
class OptimizerSpec:
    """An optimizer, its learning rate schedule, and the variables that it trains.

    Raises:
      SettingError: an invalid setting or combination of settings.

    Attributes:
      name: one of `OPTIMIZERS`.
      learning_rate: the rate after warm-up, before the schedule lowers it.
      momentum: of `momentum`, `nesterov` and `muon`; the others ignore it.
      weight_decay: of `DECOUPLED` optimizers: `w -= rate * weight_decay * w`; of the
        others: `weight_decay * w` is added to the gradient (L2). The loss does not
        change.
      decay_min_rank: variables of a lower rank do not decay. 2 excludes biases and
        batch normalization (He et al., 2019, section 3.1); 0 includes all.
      normalize_weights: of `muon`, see `Muon`; for networks with batch normalization.
      clip_norm: maximum norm of the gradient of all variables together; 0: no clipping.
      schedule: one of `SCHEDULES`.
      warmup_steps: steps over which the rate rises linearly.
      warmup_from: share of the rate at which the warm-up starts.
      total_steps: steps of the whole run, or of its schedule, counted from global step
        0; after them the rate stays.
      decay_rate: see `step` and `exponential` in `SCHEDULES`.
      boundaries: of `step`: below 1 a fraction of `total_steps`, otherwise a step.
      power: of `polynomial`.
      end_learning_rate: the last rate of `polynomial` and `cosine`.
      beta1: of `adam` and `adamw`: decay of the gradient's mean.
      beta2: of `adam` and `adamw`: decay of the squared gradient's mean.
      rho: of `rmsprop` and `adadelta`: decay of the squared gradient's mean; None: 0.9
        and 0.95, as in their sources.
      epsilon: added to a denominator, by the optimizers that have one; None: the
        optimizer's own.
      ema_decay: of the moving averages of the weights, see `ema.py`; 0: none.
      lookahead: (steps, decay), see `lookahead.py`; None: without. Requires
        `total_steps`.
      freeze: patterns (`re.search`) of the names of variables that are not trained: no
        gradient, no decay, no update. Batch normalization with frozen moving averages
        normalizes by them.
      train_only: patterns of the variables that are trained; if given, all others are
        frozen, as by `freeze`.
      lr_multipliers: pairs (pattern, number): the learning rate of a variable, and of
        its weight decay, is multiplied by the number of the first pattern that matches
        its name.
      decay_multipliers: pairs (pattern, number): the weight decay of a variable that
        matches is `weight_decay` times the number, whatever its rank.
    """

    name: str = 'momentum'
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0
    decay_min_rank: int = 2
    normalize_weights: bool = False
    clip_norm: float = 0.0
    schedule: str = 'constant'
    warmup_steps: int = 0
    warmup_from: float = 0.0
    total_steps: int | None = None
    decay_rate: float = 0.1
    boundaries: tuple[float, ...] = DEFAULT_BOUNDARIES
    power: float = 1.0
    end_learning_rate: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    rho: float | None = None
    epsilon: float | None = None
    ema_decay: float = 0.0
    lookahead: tuple[int, float] | None = None
    freeze: tuple[str, ...] = ()
    train_only: tuple[str, ...] = ()
    lr_multipliers: tuple[tuple[str, float], ...] = ()
    decay_multipliers: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if self.name not in OPTIMIZERS:
            raise errors.unknown('optimizer', 'optimizer', self.name, OPTIMIZERS)
        check_number('learning_rate', self.learning_rate, above=0)
        check_number('momentum', self.momentum, least=0, below=1)
        check_number('weight_decay', self.weight_decay, least=0)
        check_number('decay_min_rank', self.decay_min_rank, least=0, whole=True)
        check_number('clip_norm', self.clip_norm, least=0)
        check_number('beta1', self.beta1, least=0, below=1)
        check_number('beta2', self.beta2, least=0, below=1)
        if self.normalize_weights and self.name != 'muon':
            raise errors.SettingError(
                f'`normalize_weights` is for `optimizer=muon`, got {self.name}'
            )
        if self.rho is not None:
            check_number('rho', self.rho, least=0, below=1)
        if self.epsilon is not None:
            check_number('epsilon', self.epsilon, above=0)
        check_number('ema_decay', self.ema_decay, least=0, below=1)
        if self.lookahead is not None:
            self._check_lookahead()
        variable_patterns.check_patterns('freeze', self.freeze)
        variable_patterns.check_patterns('train_only', self.train_only)
        variable_patterns.check_multipliers('lr_multipliers', self.lr_multipliers)
        variable_patterns.check_multipliers('decay_multipliers', self.decay_multipliers)
        if self.decay_multipliers and not self.weight_decay:
            raise errors.SettingError('`decay_multipliers` needs `weight_decay`')
        # A list, as JSON has it, would make the settings unhashable.
        object.__setattr__(self, 'boundaries', tuple(self.boundaries))
        object.__setattr__(self, 'freeze', tuple(self.freeze))
        object.__setattr__(self, 'train_only', tuple(self.train_only))
        for name in ('lr_multipliers', 'decay_multipliers'):
            object.__setattr__(self, name, tuple(map(tuple, getattr(self, name))))
        check_schedule(**self.rate_arguments())

    def _check_lookahead(self) -> None:
        assert self.lookahead is not None
        if isinstance(self.lookahead, str) or len(self.lookahead) != 2:
            raise errors.SettingError(
                f'`lookahead` must be a pair (steps, decay), got {self.lookahead!r}'
            )
        object.__setattr__(self, 'lookahead', tuple(self.lookahead))
        every, decay = self.lookahead
        check_number('lookahead (steps)', every, least=1, whole=True)
        check_number('lookahead (decay)', decay, least=0, below=1)
        if self.ema_decay:
            raise errors.SettingError(
                '`lookahead` and `ema_decay` both choose the weights to evaluate and '
                'export; give one of them'
            )
        if self.total_steps is None:
            raise errors.SettingError(
                '`lookahead` depends on how long the run is; set `total_steps`'
            )
        if every > self.total_steps:
            raise errors.SettingError(
                f'`lookahead`: its steps, {every}, must be no more than the '
                f'{self.total_steps} of the run, which would otherwise end with its '
                'initial weights; use fewer steps or no lookahead'
            )

    def decay_of(self, name: str, rank: int) -> float:
        """Returns the weight decay of a variable of this name and rank."""
        default = 1.0 if rank >= self.decay_min_rank else 0.0
        number = variable_patterns.multiplier(self.decay_multipliers, name, default)
        return self.weight_decay * number

    def rate_arguments(self) -> dict[str, Any]:
        """Returns the arguments of `lr_schedules.learning_rate` except the step."""
        return {
            'base': self.learning_rate,
            'schedule': self.schedule,
            'total_steps': self.total_steps,
            'warmup_steps': self.warmup_steps,
            'warmup_from': self.warmup_from,
            'decay_rate': self.decay_rate,
            'boundaries': self.boundaries,
            'power': self.power,
            'end': self.end_learning_rate,
        }

    def frozen(self, name: str) -> bool:
        """Returns whether the variable of this name is frozen."""
        if self.train_only and not variable_patterns.matches(self.train_only, name):
            return True
        return variable_patterns.matches(self.freeze, name)


def check_schedule(
    *,
    base: float,
    schedule: str,
    total_steps: int | None,
    warmup_steps: int,
    decay_rate: float,
    boundaries: Sequence[float],
    power: float,
    end: float,
    warmup_from: float = 0.0,
) -> None:
    """Checks the arguments of `lr_schedules.learning_rate`.

    Raises:
      SettingError: an invalid argument or combination of arguments.
    """
    if schedule not in SCHEDULES:
        raise errors.unknown('schedule', 'schedule', schedule, SCHEDULES)
    check_number('learning_rate', base, least=0)
    check_number('warmup_steps', warmup_steps, least=0, whole=True)
    check_number('warmup_from', warmup_from, least=0, below=1)
    check_number('decay_rate', decay_rate, above=0, most=1)
    check_number('power', power, above=0)
    check_number('end_learning_rate', end, least=0)
    for boundary in boundaries:
        check_number('decay_at', boundary, above=0)
    if total_steps is not None:
        check_number('total_steps', total_steps, least=1, whole=True)
        if warmup_steps > total_steps:
            raise errors.SettingError(
                f'`warmup` must be at most the {total_steps} steps of the schedule, '
                f'got {warmup_steps} steps'
            )
    elif schedule in ('exponential', 'polynomial', 'cosine'):
        raise errors.SettingError(
            f'`schedule={schedule}` depends on how long the run is; set `total_steps`, '
            'or use `schedule=constant`'
        )
    if schedule == 'step':
        steps = boundary_steps(boundaries, total_steps)
        # In a run of a few steps two boundaries may be the same step.
        if list(steps) != sorted(steps):
            raise errors.SettingError(
                f'`decay_at` (boundaries) must rise, got {tuple(boundaries)}, which '
                f'are the steps {steps}'
            )


def boundary_steps(
    boundaries: Sequence[float], total_steps: int | None
) -> tuple[int, ...]:
    """Converts boundaries, below 1 fractions of `total_steps`, to steps.

    Raises:
      SettingError: a fraction without `total_steps`.
    """
    if total_steps is None:
        if all(boundary >= 1 for boundary in boundaries):
            return tuple(round(boundary) for boundary in boundaries)
        raise errors.SettingError(
            f'`decay_at`: the fractions in {tuple(boundaries)} depend on how long the '
            'run is; set `total_steps`, or give the boundaries as steps'
        )
    return tuple(
        round(boundary * total_steps) if boundary < 1 else round(boundary)
        for boundary in boundaries
    )
