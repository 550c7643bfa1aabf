"""The optimizer's settings, checked where they are made. Free of TensorFlow.

Kept apart from `optimizers.py` so that flags can be declared and checked, and `--help`
printed, without the seconds that importing TensorFlow costs.
"""

import dataclasses
import math
import numbers

from estimator_clf.core import errors, variable_patterns

OPTIMIZERS = {
    'sgd': 'gradient descent',
    'momentum': 'gradient descent with momentum (Polyak, 1964)',
    'nesterov': "gradient descent with Nesterov's momentum (Sutskever et al., 2013)",
    'adam': 'Adam (Kingma and Ba, 2015)',
    'adamw': 'Adam with decoupled weight decay (Loshchilov and Hutter, 2019)',
    'muon': 'Muon (Jordan et al., 2024) for the filters and matrices of hidden layers',
    'rmsprop': 'RMSProp (Tieleman and Hinton, 2012)',
    'adagrad': 'Adagrad (Duchi et al., 2011)',
    'adadelta': 'Adadelta (Zeiler, 2012)',
    'ftrl': 'Follow the regularized leader (McMahan et al., 2013), for linear networks',
}

SCHEDULES = {
    'constant': 'the same rate throughout',
    'step': 'times `decay_rate` at each boundary',
    'exponential': 'falls by a constant factor a step, to `decay_rate` of the base',
    'polynomial': 'falls to the end rate as (1 - progress) ** power',
    'cosine': 'falls to the end rate along half a cosine (Loshchilov, Hutter, 2017)',
}

# Those whose weight decay does not join the gradient.
DECOUPLED = ('adamw', 'muon')

# In training, float16 comes with loss scaling, see loss_scale.py: its exponent is
# narrow. bfloat16 has the exponent of float32 and needs none.
COMPUTE_DTYPES = ('float32', 'bfloat16', 'float16')

# How the gradients of convolutions are computed, see convolution.py.
CONV_GRADIENTS = ('tensorflow', 'products', 'small')

# Half and three quarters of the steps: He et al., 2016, section 4.2 (CIFAR-10).
DEFAULT_BOUNDARIES = (0.5, 0.75)


@dataclasses.dataclass(frozen=True)
class OptimizerSpec:
    """How the weights are moved. A wrong value raises `SettingError` at once.

    Attributes:
        name: one of `OPTIMIZERS`.
        learning_rate: the rate after warm-up, before the schedule lowers it.
        momentum: of `momentum`, `nesterov` and `muon`; the others do not read it.
        weight_decay: `DECOUPLED` ones: `w -= rate * weight_decay * w`; the others:
            `weight_decay * w` joins the gradient (L2). The loss does not change.
        decay_min_rank: variables of a lower rank do not decay. 2 leaves out biases and
            batch normalization (He et al., 2019, section 3.1); 0 decays all.
        normalize_weights: of `muon`, see there; for networks with batch normalization.
        clip_norm: the longest norm that the gradient of all variables together may
            have; 0 turns clipping off.
        schedule: one of `SCHEDULES`.
        warmup_steps: steps over which the rate rises linearly.
        warmup_from: what share of the rate it rises from.
        total_steps: steps of the whole run, counted from global step 0.
        decay_rate: see `step` and `exponential` in `SCHEDULES`.
        boundaries: of `step`: below 1 a fraction of `total_steps`, else a step.
        power: of `polynomial`.
        end_learning_rate: the last rate, of `polynomial` and `cosine`.
        beta1: of `adam` and `adamw`: decay of the gradient's mean.
        beta2: of `adam` and `adamw`: decay of the squared gradient's mean.
        rho: of `rmsprop` and `adadelta`: decay of the squared gradient's mean; None
            takes 0.9 and 0.95, as in their sources.
        epsilon: added to a denominator, by the optimizers that have one; None takes
            the optimizer's own.
        ema_decay: of the moving averages of the weights, see averaging.py; 0: none.
        lookahead: (steps, decay) of lookahead.py; None: without. Needs `total_steps`.
        freeze: patterns (`re.search`) of the names of variables to leave as they are:
            no gradient, no decay, no update. Batch normalization with frozen moving
            averages normalizes by these.
        train_only: patterns of the variables that are trained; with any, all others are
            left as they are, as by `freeze`.
        lr_multipliers: pairs (pattern, number): what the variables with such a name
            train at is the learning rate times the number, weight decay included. The
            first pattern that is found in the name counts.
        decay_multipliers: also, what the variables with such a name decay by is
            `weight_decay` times the number, of whatever rank they are.
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

    def __post_init__(self):
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
        # A list, as JSON gives it back, would make the settings unhashable.
        object.__setattr__(self, 'boundaries', tuple(self.boundaries))
        object.__setattr__(self, 'freeze', tuple(self.freeze))
        object.__setattr__(self, 'train_only', tuple(self.train_only))
        for name in ('lr_multipliers', 'decay_multipliers'):
            object.__setattr__(self, name, tuple(map(tuple, getattr(self, name))))
        check_schedule(**self.rate_arguments())

    def _check_lookahead(self):
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
                '`lookahead` and `ema_decay` both say which weights are evaluated and '
                'exported; give one of them'
            )
        if self.total_steps is None:
            raise errors.SettingError(
                '`lookahead` needs to know how long the run is; set total_steps'
            )
        if every > self.total_steps:
            raise errors.SettingError(
                f'`lookahead`: its first steps, {every}, must be no more than the '
                f'{self.total_steps} of the run, which would end with the weights it '
                'began with; leave it out'
            )

    def decay_of(self, name: str, rank: int) -> float:
        """The weight decay of a variable of this name and rank."""
        usual = 1.0 if rank >= self.decay_min_rank else 0.0
        number = variable_patterns.multiplier(self.decay_multipliers, name, usual)
        return self.weight_decay * number

    def rate_arguments(self):
        """The arguments of `schedules.learning_rate`, but for the step."""
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

    def frozen(self, name):
        """Whether the variable of this name stays as it is."""
        if self.train_only and not variable_patterns.matches(self.train_only, name):
            return True
        return variable_patterns.matches(self.freeze, name)


def check_number(
    name, value, *, least=None, above=None, below=None, most=None, whole=False
):
    """Checks a number against its bounds.

    Raises:
        SettingError: it is no finite number, or not whole, or out of bounds.
    """
    kind = 'a whole number' if whole else 'a finite number'
    types = numbers.Integral if whole else numbers.Real  # NumPy's are such, too.
    if isinstance(value, bool) or not isinstance(value, types):
        raise errors.SettingError(f'`{name}` must be {kind}, got {value!r}')
    if not math.isfinite(value):
        raise errors.SettingError(f'`{name}` must be {kind}, got {value}')
    bounds = (
        ('at least', least, lambda bound: value >= bound),
        ('above', above, lambda bound: value > bound),
        ('below', below, lambda bound: value < bound),
        ('at most', most, lambda bound: value <= bound),
    )
    for words, bound, holds in bounds:
        if bound is not None and not holds(bound):
            raise errors.SettingError(f'`{name}` must be {words} {bound}, got {value}')


def parse_lookahead(text):
    """Reads `'5:0.95'`, STEPS:DECAY; '' is None.

    Raises:
        SettingError: something that is not written so.
    """
    if not text:
        return None
    every, _, decay = text.partition(':')
    try:
        return int(every), float(decay)
    except ValueError:
        raise errors.SettingError(
            f'`lookahead` must be STEPS:DECAY, such as 5:0.95, got {text!r}'
        ) from None


def parse_views(text):
    """Reads `'mirror,shift:1'`; returns (mirror, shift) of `views.views`.

    '' and 'none' are None.

    Raises:
        SettingError: something that is not written so.
    """
    parts = [part.strip() for part in text.split(',') if part.strip()]
    if parts in ([], ['none']):
        return None
    mirror, shift = False, 0
    for part in parts:
        name, colon, number = part.partition(':')
        if part == 'mirror' and not mirror:
            mirror = True
        elif name == 'shift' and not shift and number.isdecimal() and int(number):
            shift = int(number)
        else:
            raise errors.SettingError(
                '`eval_tta` must be of mirror and shift:PIXELS, each once, such as '
                f'mirror,shift:1, got {text!r}'
            )
    return mirror, shift


def check_schedule(
    *,
    base,
    schedule,
    total_steps,
    warmup_steps,
    decay_rate,
    boundaries,
    power,
    end,
    warmup_from=0.0,
):
    """Checks the arguments of `schedules.learning_rate`.

    Raises:
        SettingError: one of them, or two of them together, cannot be used.
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
                f'`warmup` must be at most the {total_steps} steps of the run, got '
                f'{warmup_steps} steps'
            )
    elif schedule in ('exponential', 'polynomial', 'cosine'):
        raise errors.SettingError(
            f'`schedule`: {schedule!r} needs to know how long the run is; set '
            f'total_steps, or use constant'
        )
    if schedule == 'step':
        steps = boundary_steps(boundaries, total_steps)
        # Of a run of a few steps two boundaries may be the same one.
        if list(steps) != sorted(steps):
            raise errors.SettingError(
                f'`decay_at` (boundaries) must rise, got {tuple(boundaries)}, which '
                f'are the steps {steps}'
            )


def boundary_steps(boundaries, total_steps):
    """Turns boundaries, below 1 fractions of `total_steps`, into steps.

    Raises:
        SettingError: a fraction came without `total_steps`.
    """
    if total_steps is None and any(boundary < 1 for boundary in boundaries):
        raise errors.SettingError(
            f'`decay_at`: the fractions in {tuple(boundaries)} need to know how '
            f'long the run is; set total_steps, or give the boundaries as steps'
        )
    return tuple(
        round(boundary * total_steps) if boundary < 1 else round(boundary)
        for boundary in boundaries
    )
