"""Ground layer: errors, registry, devices, memory, locks, atomic files, intervals."""

from estimator_clf.core.errors import (
    ConfigError,
    DataError,
    RunError,
    SettingError,
    UserError,
)

__all__ = ['ConfigError', 'DataError', 'RunError', 'SettingError', 'UserError']
