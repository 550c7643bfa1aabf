"""All settings of a run, composed of one frozen dataclass per concern.

Every field of a group is also a flag of the same name; the names are unique over all
groups, so that flags and `config.json` are flat while code takes only its concern:

    config = make_config(dataset='digits', epochs=3)
    config.run.epochs, config.data.augment
    config = config.replace(epochs=5)
"""

import dataclasses
import functools
import math
import os
from typing import Any

from estimator_clf.config import early_stopping
from estimator_clf.config.groups.data import DataConfig
from estimator_clf.config.groups.evaluation import EvalConfig
from estimator_clf.config.groups.exports import ExportConfig
from estimator_clf.config.groups.fields import FIELDS, GROUP_OF, GROUPS
from estimator_clf.config.groups.hardware import HardwareConfig
from estimator_clf.config.groups.model import ModelConfig
from estimator_clf.config.groups.optimizer import DEFAULT_BATCH_SIZE, OptimizerConfig
from estimator_clf.config.groups.run import RunConfig
from estimator_clf.config.groups.transfer import TransferConfig
from estimator_clf.config.validate import validate
from estimator_clf.core import intervals
from estimator_clf.core.call_syntax import Call, parse_call
from estimator_clf.core.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings of one training run; make it with `make_config`.

    Attributes:
      given: names of the settings that were given; others have their defaults, which
        transfer learning replaces by values that follow from the data.
    """

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    transfer: TransferConfig = TransferConfig()
    optimization: OptimizerConfig = OptimizerConfig()
    run: RunConfig = RunConfig()
    evaluation: EvalConfig = EvalConfig()
    exports: ExportConfig = ExportConfig()
    hardware: HardwareConfig = HardwareConfig()
    given: frozenset[str] = dataclasses.field(
        default=frozenset(), compare=False, repr=False
    )

    @functools.cached_property
    def dataset_call(self) -> Call:
        """The format with its options, `tfrecord(image_key=img)`, parsed."""
        return parse_call(self.data.dataset, 'dataset')

    @functools.cached_property
    def network_call(self) -> Call:
        """The network with its options, `mlp(hidden=256)`, parsed."""
        return parse_call(self.model.network, 'network')

    @functools.cached_property
    def proxy_call(self) -> Call | None:
        """The proxy network with its options, parsed; None without one."""
        proxy = self.optimization.proxy
        return parse_call(proxy, 'proxy') if proxy else None

    @property
    def batch_size(self) -> int:
        """Examples per training step; the default until `resolve_auto` adapts it."""
        return self.optimization.batch_size or DEFAULT_BATCH_SIZE

    @property
    def eval_batch_size(self) -> int:
        """Examples per step of an evaluation."""
        return self.evaluation.eval_batch_size or self.batch_size

    def total_steps(self, num_examples: int) -> int:
        """Returns the length of the run in steps, for this many training examples."""
        if self.run.max_steps:
            return self.run.max_steps
        # Rounded up: an epoch has seen every example. Rounded to six digits before:
        # 1.1 epochs of 100 examples are not 110.00000000000001.
        examples = round((self.run.epochs or 10) * num_examples, 6)
        return max(1, math.ceil(examples / self.batch_size))

    def schedule_steps(self, num_examples: int) -> int:
        """Returns the length of the learning rate schedule in steps."""
        length = self.optimization.schedule_length
        if not length:
            return self.total_steps(num_examples)
        steps = round(self.interval('schedule_length', num_examples), 6)
        return max(1, math.ceil(steps))

    def interval(self, name: str, num_examples: int) -> float:
        """Returns the setting `name`, a duration, in (fractional) steps."""
        return intervals.interval(
            self.to_flat()[name],
            name,
            num_examples / self.batch_size,
            self.total_steps(num_examples),
        )

    def patience(self, num_examples: int) -> tuple[float, str] | None:
        """Returns (number, 'evaluations' or 'steps') of `early_stopping`, or None."""
        text = self.evaluation.early_stopping
        found = early_stopping.parse_patience(text, 'early_stopping')
        if found is None or found[1] == 'evaluations':
            return found
        return self.interval('early_stopping', num_examples), 'steps'

    def replace(self, **settings: Any) -> 'Config':
        """Returns a copy with other values of some settings, validated.

        Raises:
          ConfigError: an invalid value or combination.
        """
        config = make_config(**{**self.to_flat(), **settings})
        return dataclasses.replace(config, given=self.given | set(settings))

    def to_flat(self) -> dict[str, Any]:
        """Returns dict setting -> value, over all groups."""
        return {
            name: getattr(getattr(self, group), name)
            for name, group in GROUP_OF.items()
        }

    def differences(self, other: 'Config') -> list[tuple[str, Any, Any]]:
        """Lists the settings in which a run cannot be the continuation of another.

        Returns:
          List of (name, value here, value there), without settings that may change.
        """
        mine, theirs = self.to_flat(), other.to_flat()
        return [
            (name, mine[name], theirs[name])
            for name, field in FIELDS.items()
            if mine[name] != theirs[name] and not field.metadata['changeable']
        ]


def make_config(**settings: Any) -> Config:
    """Makes the settings of a run from flat values; others have their defaults.

    Args:
      **settings: setting = value.

    Raises:
      ConfigError: an unknown setting, or an invalid value or combination.
      SettingError: an unknown network or optimizer, or an invalid option of one.
      DataError: an unknown format, or an invalid augmentation.
    """
    unknown = sorted(set(settings) - set(FIELDS))
    if unknown:
        raise ConfigError(f'there is no setting {", ".join(unknown)}')
    values: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
    for name, value in settings.items():
        values[GROUP_OF[name]][name] = value
    run, exports = values['run'], values['exports']
    if not run.get('model_dir'):
        run['model_dir'] = _default_model_dir(values)
    if not exports.get('export_dir'):
        exports['export_dir'] = os.path.join(run['model_dir'], 'export')
    groups: dict[str, Any] = {name: GROUPS[name](**v) for name, v in values.items()}
    config = Config(**groups, given=frozenset(settings))
    validate(config)
    return config


def _default_model_dir(values):
    dataset = values['data'].get('dataset', DataConfig.dataset)
    network = values['model'].get('network', ModelConfig.network)
    names = [parse_call(dataset, 'dataset').name, parse_call(network, 'network').name]
    return os.path.join('runs', '-'.join(names).replace(':', '_').replace('/', '_'))
