"""The fields of all groups of settings, by name and by group."""

import dataclasses

from estimator_clf.config.groups.data import DataConfig
from estimator_clf.config.groups.evaluation import EvalConfig
from estimator_clf.config.groups.exports import ExportConfig
from estimator_clf.config.groups.hardware import HardwareConfig
from estimator_clf.config.groups.model import ModelConfig
from estimator_clf.config.groups.optimizer import OptimizerConfig
from estimator_clf.config.groups.run import RunConfig
from estimator_clf.config.groups.setting import SettingsGroup, field_types
from estimator_clf.config.groups.transfer import TransferConfig

#: dict attribute of `Config` -> class of the group, in the order of `--help`.
GROUPS: dict[str, type[SettingsGroup]] = {
    'data': DataConfig,
    'model': ModelConfig,
    'transfer': TransferConfig,
    'optimization': OptimizerConfig,
    'run': RunConfig,
    'evaluation': EvalConfig,
    'exports': ExportConfig,
    'hardware': HardwareConfig,
}
#: dict setting -> its dataclass field; names are unique over all groups.
FIELDS: dict[str, dataclasses.Field] = {
    field.name: field
    for group in GROUPS.values()
    for field in dataclasses.fields(group)
}
#: dict setting -> its type, without `| None`.
TYPES: dict[str, type] = {
    name: kind for group in GROUPS.values() for name, kind in field_types(group).items()
}
#: dict setting -> attribute of `Config` that has it.
GROUP_OF: dict[str, str] = {
    field.name: name
    for name, group in GROUPS.items()
    for field in dataclasses.fields(group)
}
