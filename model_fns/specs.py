"""Specifications of a model: network, head and runtime. Free of TensorFlow.

They can be declared and checked, for instance by a program's flags, without the
seconds that importing TensorFlow costs. The fourth, `OptimizerSpec`, is in
`optimizers/config.py`.
"""

import dataclasses
import math
import numbers
from collections.abc import Callable, Mapping, Sequence

from estimator_clf.core import errors
from estimator_clf.core.class_names import names_fault
from model_fns import registry

#: Losses of a classifier, see `heads.losses`.
LOSSES = ('cross_entropy', 'squared_error')

#: float16 has a narrow exponent, so training scales its loss, see `loss_scaling`;
#: bfloat16 has the exponent of float32 and needs no scaling.
COMPUTE_DTYPES = ('float32', 'bfloat16', 'float16')

#: Implementations of the gradients of convolutions, see `layers.conv_gradients`.
CONV_GRADIENTS = ('tensorflow', 'products', 'small')


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """Network, classes and input normalization of a model.

    Raises:
      SettingError: an unknown network or setting, or invalid classes.

    Attributes:
      network: a name in `registry.names()`, or a function
        `build(net, images, num_classes, *, settings…) -> logits`, where `net` is a
        `LayerBuilder`. A function is a classifier.
      network_args: settings of the network that differ from their defaults.
      num_classes: of a classifier, at least 2; a regression ignores it.
      class_names: one for each class, in order; None: '0', '1', …
      mean: of the training pixels, in units 0..255: a number, or one per channel.
      stddev: standard deviation of the training pixels, like `mean`.
    """

    network: str | Callable
    network_args: Mapping[str, object] | None = None
    num_classes: int = 1
    class_names: Sequence[str] | None = None
    mean: float | Sequence[float] = 0.0
    stddev: float | Sequence[float] = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, 'network_args', dict(self.network_args or {}))
        if self.class_names is not None:
            object.__setattr__(self, 'class_names', tuple(self.class_names))
        registry.check_args(self.network, self.args)
        if self.kind == 'classification':
            check_classes(self.num_classes, self.class_names)

    @property
    def name(self) -> str:
        """Name of the network, which is also the scope of its variables."""
        return self.network if isinstance(self.network, str) else self.network.__name__

    @property
    def kind(self) -> str:
        """Type of the model: 'classification' or 'regression'."""
        if isinstance(self.network, str):
            return registry.head(self.network)
        return 'classification'

    @property
    def args(self) -> dict[str, object]:
        """`network_args` as a dict."""
        return dict(self.network_args or {})


@dataclasses.dataclass(frozen=True)
class HeadSpec:
    """Loss, evaluation and prediction of a model.

    Raises:
      SettingError: an invalid setting or combination of settings.

    Attributes:
      loss: one of `LOSSES`.
      label_smoothing: share of each label that is spread evenly over the classes, in
        training only (Szegedy et al., 2016, section 7); at least 0 and below 1.
      class_weights: weight of each class in the loss, none negative; None: all equal.
      eval_samples: number of stochastic forward passes that evaluation, prediction and
        export average, see `heads.stochastic_ensemble`.
      eval_views: test-time augmentation in evaluation, as (mirror, shift in pixels),
        see `heads.test_time_augmentation`; None: without.
      export_views: whether prediction and export use test-time augmentation, too.
      hard_example_fraction: share of each micro-batch to train on, the examples with
        the largest losses of the proxy, see `heads.hard_example_mining`; 1: all.
      proxy: a small network, like `ModelSpec.network`, required by
        `hard_example_fraction` below 1.
      proxy_args: settings of the proxy that differ from their defaults.
    """

    loss: str = 'cross_entropy'
    label_smoothing: float = 0.0
    class_weights: Sequence[float] | None = None
    eval_samples: int = 1
    eval_views: tuple[bool, int] | None = None
    export_views: bool = False
    hard_example_fraction: float = 1.0
    proxy: str | Callable | None = None
    proxy_args: Mapping[str, object] | None = None

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise errors.unknown('loss', 'loss', self.loss, LOSSES)
        check_number('label_smoothing', self.label_smoothing, least=0, below=1)
        if self.class_weights is not None:
            object.__setattr__(self, 'class_weights', tuple(self.class_weights))
            for weight in self.class_weights:
                check_number('class_weights', weight, least=0)
            if not any(self.class_weights):
                raise errors.SettingError('`class_weights` must not all be 0')
        check_number('eval_samples', self.eval_samples, least=1, whole=True)
        if self.eval_samples > 1 and self.loss != 'cross_entropy':
            raise errors.SettingError(
                '`eval_samples` above 1 averages the probabilities of a softmax and '
                f'requires `loss=cross_entropy`, got `loss={self.loss}`'
            )
        if self.eval_samples > 1 and self.eval_views:
            raise errors.SettingError(
                '`eval_tta` and `eval_samples` above 1 cannot be combined'
            )
        self._check_hard_example_mining()

    def _check_hard_example_mining(self) -> None:
        fraction = self.hard_example_fraction
        check_number('hard_example_fraction', fraction, above=0, most=1)
        if (fraction < 1) != bool(self.proxy):
            raise errors.SettingError(
                '`hard_example_fraction` below 1 requires `proxy`, and `proxy` '
                f'requires `hard_example_fraction` below 1; got {fraction} and '
                f'{self.proxy!r}'
            )
        if not self.proxy:
            return
        if self.class_weights is not None:
            raise errors.SettingError(
                '`hard_example_fraction` below 1 and `class_weights` cannot be combined'
            )
        with errors.for_argument('proxy'):
            registry.check_args(self.proxy, self.proxy_args or {})
        if isinstance(self.proxy, str) and registry.head(self.proxy) == 'regression':
            raise errors.SettingError(
                f'`proxy` must be a network for images, got {self.proxy!r}'
            )

    def check_num_classes(self, num_classes: int) -> None:
        """Checks that there is one class weight per class.

        Raises:
          SettingError: there are more or fewer.
        """
        weights = self.class_weights
        if weights is not None and len(weights) != num_classes:
            raise errors.SettingError(
                f'`class_weights` must be one number for each of the {num_classes} '
                f'classes, got {len(weights)}'
            )

    def check_model(self, model: ModelSpec) -> None:
        """Checks that this head fits a model.

        Raises:
          SettingError: settings for classifiers with a regression, or another number
            of class weights than of classes.
        """
        if model.kind != 'regression':
            self.check_num_classes(model.num_classes)
            return
        for argument, given in (
            ('eval_samples', self.eval_samples > 1),
            ('eval_tta', self.eval_views),
            ('hard_example_fraction', self.proxy),
        ):
            if given:
                raise errors.SettingError(
                    f'`{argument}` requires a classifier, but `network={model.name}` '
                    'is a regression'
                )


@dataclasses.dataclass(frozen=True)
class RuntimeSpec:
    """Seed, precision and execution of a model.

    Raises:
      SettingError: an invalid setting.

    Attributes:
      seed: of the initial weights and of dropout.
      compute_dtype: one of `COMPUTE_DTYPES`: compute type of training. Weights, loss,
        metrics and batch-norm statistics stay float32; prediction and export compute
        in float32.
      eval_dtype: compute type of evaluation, like `compute_dtype`.
      gradient_accumulation_steps: number of equal micro-batches that a training batch
        is split into, see `optimizers.gradient_accumulation`.
      xla: compile the network and its gradients in training.
      conv_gradients: one of `CONV_GRADIENTS`.
    """

    seed: int = 0
    compute_dtype: str = 'float32'
    eval_dtype: str = 'float32'
    gradient_accumulation_steps: int = 1
    xla: bool = False
    conv_gradients: str = 'tensorflow'

    def __post_init__(self) -> None:
        if self.compute_dtype not in COMPUTE_DTYPES:
            raise errors.unknown(
                'compute_dtype', 'type', self.compute_dtype, COMPUTE_DTYPES
            )
        if self.eval_dtype not in COMPUTE_DTYPES:
            raise errors.unknown('eval_dtype', 'type', self.eval_dtype, COMPUTE_DTYPES)
        if self.conv_gradients not in CONV_GRADIENTS:
            raise errors.unknown(
                'conv_gradients', 'kind', self.conv_gradients, CONV_GRADIENTS
            )
        check_number(
            'gradient_accumulation_steps',
            self.gradient_accumulation_steps,
            least=1,
            whole=True,
        )


def check_classes(num_classes: int, class_names: Sequence[str] | None = None) -> None:
    """Checks the number of classes and their names.

    Raises:
      SettingError: fewer than 2 classes, or names that are missing or not valid.
    """
    check_number('num_classes', num_classes, least=2, whole=True)
    if class_names is None:
        return
    if len(class_names) != num_classes:
        raise errors.SettingError(
            f'`class_names` must be one name for each of the {num_classes} classes, '
            f'got {len(class_names)}'
        )
    fault = names_fault(class_names)
    if fault:
        raise errors.SettingError(f'`class_names`: {fault}; rename it')


def check_number(
    name: str,
    value: object,
    *,
    least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    most: float | None = None,
    whole: bool = False,
) -> None:
    """Checks a number against its bounds.

    Raises:
      SettingError: not a finite number, not a whole number, or out of bounds.
    """
    kind = 'a whole number' if whole else 'a finite number'
    # Numbers of NumPy are instances of these, too.
    types = numbers.Integral if whole else numbers.Real
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
