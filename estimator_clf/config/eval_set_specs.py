"""Parses the sets that are evaluated in addition: `extra_eval_sets`."""

import dataclasses

from estimator_clf.core import intervals
from estimator_clf.core.call_syntax import parse_calls
from estimator_clf.core.errors import ConfigError
from estimator_clf.core.paths import resolve_path

# Names that metrics.jsonl and the run's directory use for other things.
RESERVED_NAMES = (
    'train',
    'best',
    'classifier',
    'export',
    'export-best',
    'features',
    'frozen',
    'plugins',
)


@dataclasses.dataclass(frozen=True)
class EvalSetSpec:
    """One entry of `extra_eval_sets`.

    Attributes:
      name: the name of its metrics.
      split: name of the split; '' for the default one of another directory.
      data_dir: directory of other data of the same kind, absolute, or ''.
      every: a duration, see `estimator_clf.core.intervals.parse`.
    """

    name: str
    split: str
    data_dir: str
    every: str

    @property
    def source(self) -> str:
        """Split and directory, for messages."""
        return ' of '.join(part for part in (self.split, self.data_dir) if part)


def parse(text: str) -> tuple[EvalSetSpec, ...]:
    """Parses `extra_eval_sets`: `test, fit(train, every=5epochs), phone(data_dir=DIR)`.

    Args:
      text: `NAME(SPLIT, data_dir=DIR, every=INTERVAL)`, comma-separated. Without
        SPLIT and DIR, NAME is the split; without an interval it is every epoch.

    Raises:
      ConfigError: another syntax, an unknown option, or a name that is taken.
    """
    specs: list[EvalSetSpec] = []
    for call in parse_calls(text, 'extra_eval_sets'):
        options = {'data_dir': '', 'every': '1epochs', **call.kwargs}
        if len(call.args) > 1 or len(options) > 2:
            raise ConfigError(
                '`extra_eval_sets` must be NAME(SPLIT, data_dir=DIR, every=INTERVAL), '
                f'got {call}'
            )
        every, data_dir = str(options['every']), str(options['data_dir'])
        if data_dir:
            data_dir = resolve_path(data_dir, '`extra_eval_sets`: data_dir')
        intervals.parse(every, 'extra_eval_sets')
        split = str(call.args[0]) if call.args else '' if data_dir else call.name
        is_name = call.name.replace('-', '_').isidentifier()
        if call.name in RESERVED_NAMES or not is_name:
            raise ConfigError(
                f'`extra_eval_sets`: {call.name!r} cannot be the name of a set; choose '
                f'one of letters, digits and underscores: my_name({split})'
            )
        if call.name in {spec.name for spec in specs}:
            raise ConfigError(
                f'`extra_eval_sets`: the name {call.name!r} must be given once only'
            )
        specs.append(EvalSetSpec(call.name, split, data_dir, every))
    return tuple(specs)
