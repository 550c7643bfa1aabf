"""Defines absl flags from the fields of the settings, and their help.

Name, default, help text and checks of a flag are those of its field in
`estimator_clf.config`; nothing below `launch/` uses flags.
"""

import functools
import textwrap
from collections.abc import Callable, Collection, Iterator
from typing import Any

from absl import flags

from estimator_clf.config.config import Config, make_config
from estimator_clf.config.groups.fields import FIELDS, GROUP_OF, GROUPS, TYPES
from estimator_clf.core.call_syntax import write_value
from launch.app import flag_names
from launch.parsing.path_flags import define_path

FLAGS = flags.FLAGS

_WIDTH = 88

_DEFINE: dict[type, Callable] = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
}


def define_config(only: Collection[str] | None = None) -> None:
    """Defines a flag for each setting of a run.

    Args:
      only: names of the settings; None: all.
    """
    for name in _names(only):
        metadata, default = FIELDS[name].metadata, FIELDS[name].default
        define: Callable = _DEFINE[TYPES[name]]
        if metadata['path']:
            define = define_path
        elif metadata['choices']:
            define = functools.partial(
                flags.DEFINE_enum, enum_values=metadata['choices']
            )
        define(name, default=default, help=metadata['help'])
        if metadata['check']:
            flags.register_validator(name, _validator(metadata['check']))


def define_run(*names: str) -> None:
    """Defines flags of programs that read the directory of a run.

    Args:
      *names: names of flags in `_RUN`.
    """
    for name in names:
        define, *arguments = _RUN[name]
        define(name, *arguments)


def config_from_flags(**overrides: Any) -> Config:
    """Returns the settings that the flags give; others have their defaults.

    Args:
      **overrides: settings that are not taken from the flags.

    Raises:
      ConfigError, SettingError, DataError: invalid settings.
    """
    # Defaults are left out: transfer learning replaces what is not given.
    given = {
        name: FLAGS[name].value
        for name, field in FIELDS.items()
        if name in FLAGS
        and not (FLAGS[name].using_default_value and FLAGS[name].value == field.default)
    }
    return make_config(**{**given, **overrides})


def config_help(only: Collection[str] | None = None) -> str:
    """Returns the help on settings, by group, with the registered names.

    Args:
      only: names of the settings; None: all.
    """
    parts = []
    for name, group in GROUPS.items():
        fields = [n for n in _names(only) if GROUP_OF[n] == name]
        if fields:
            parts.append(f'{group.TITLE}:')
            parts.extend(
                _flag_help(n, FIELDS[n].metadata['help'], FIELDS[n].default)
                for n in fields
            )
            parts.append('')
    return '\n'.join([*parts, *_registered_names_help(only)])


def flag_help(name: str) -> str:
    """Returns the help on one defined flag."""
    return _flag_help(name, FLAGS[name].help, FLAGS[name].default)


def _flag_help(name, text, default):
    text = flag_names(text)
    if default not in (None, '', False, []):
        text = f'{text} [{default}]'
    head = f'  --{name}'
    lines = textwrap.wrap(text, _WIDTH - 24, break_on_hyphens=False)
    first = (
        f'{head:<22}  {lines[0]}' if len(head) <= 22 else f'{head}\n{"":24}{lines[0]}'
    )
    return '\n'.join([first, *(' ' * 24 + line for line in lines[1:])])


def _names(only):
    return [name for name in FIELDS if only is None or name in only]


def _registered_names_help(
    only: Collection[str] | None,
) -> Iterator[str]:
    """Lists formats, networks, optimizers and schedules with their options."""
    from input import FORMATS
    from model_fns import registry
    from model_fns.optimizers.config import OPTIMIZERS, SCHEDULES

    sections = {
        'dataset': ('--dataset, with its options', FORMATS.names(), _format_options),
        'network': (
            '--network, with its options',
            registry.names(),
            registry.NETWORKS.options,
        ),
        'optimizer': ('--optimizer', OPTIMIZERS, lambda name: {}),
        'schedule': ('--schedule', SCHEDULES, lambda name: {}),
    }
    for flag, (title, names, options_of) in sections.items():
        if only is not None and flag not in only:
            continue
        yield f'{title}:'
        for name, summary in names.items():
            shown = f'{name}:NAME' if name == 'tfds' else name
            lines = textwrap.wrap(summary, _WIDTH - 24) or ['']
            yield f'  {shown:<20}  {lines[0]}'
            options = options_of(name)
            listed = ', '.join(f'{k}={write_value(v)}' for k, v in options.items())
            lines = lines[1:] + textwrap.wrap(listed, _WIDTH - 24)
            yield from (' ' * 24 + line for line in lines)
        yield ''


def _format_options(name):
    """Options of a format that are not settings of every format."""
    from input import FORMATS

    options = FORMATS.options(name)
    common = {*FIELDS, 'info', 'variant', 'train_split', 'eval_split'}
    return {key: value for key, value in options.items() if key not in common}


def _validator(check):
    def valid(value):
        error = check(value)
        if error:
            raise flags.ValidationError(f'{error}, got {value!r}')
        return True

    return valid


_RUN: dict[str, tuple] = {
    'checkpoint': (
        flags.DEFINE_string,
        '',
        "Step or path of a checkpoint, or 'best'. Default: the latest.",
    ),
    'data_dir': (
        define_path,
        '',
        'Where the data is now, if it was moved after the training; or other data of '
        'the same classes.',
    ),
    'eval_samples': (
        flags.DEFINE_integer,
        None,
        "Stochastic forward passes to average. Default: as the run's evaluations.",
    ),
    'eval_tta': (
        flags.DEFINE_string,
        '',
        'Test-time augmentation: mirror, shift(1); none: the image alone. Default: as '
        "the run's evaluations.",
    ),
    'eval_precision': (
        flags.DEFINE_enum,
        None,
        FIELDS['eval_precision'].metadata['choices'],
        "Compute dtype. Default: as the run's evaluations.",
    ),
    'eval_batch_size': (
        flags.DEFINE_integer,
        None,
        "Examples per step. Default: as the run's evaluations.",
        1,
    ),
    'export_tta': (
        flags.DEFINE_bool,
        None,
        'Whether the model applies --eval_tta. Default: as the exports of the run.',
    ),
    'check_export': (
        flags.DEFINE_bool,
        None,
        'Whether to compare a SavedModel with its checkpoint in a fresh process before '
        'it appears. Default: as the exports of the run.',
    ),
    'max_image_pixels': (
        flags.DEFINE_integer,
        None,
        'Maximum pixels of an image. Default: as in the run.',
    ),
    'device': (flags.DEFINE_enum, 'auto', ['auto', 'cpu', 'gpu'], 'Where to compute.'),
}
