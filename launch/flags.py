"""Flags made from the fields of `estimator_clf.config.config.Config`, and their help.

What a flag is called, means and accepts is written beside the field; nothing below
`launch` sees a flag.
"""

import dataclasses
import textwrap

from absl import flags

from estimator_clf.config.config import Config
from estimator_clf.core.errors import ConfigError

FLAGS = flags.FLAGS

_WIDTH = 88


def define_config(only=None):
    """Defines a flag for every setting of a run.

    Args:
      only: names of the settings, if not all are wanted.
    """
    for field in _fields(only):
        text = field.metadata['help']
        if field.metadata['choices']:
            flags.DEFINE_enum(
                field.name, field.default, field.metadata['choices'], text
            )
        else:
            _DEFINE[field.type](field.name, field.default, text)
        check = field.metadata['check']
        if check:
            flags.register_validator(field.name, _validator(field.name, check))


def define_run(*names):
    """Defines flags of the programs that take a run which there is.

    Args:
      *names: of those in `_RUN`.
    """
    for name in names:
        define, *arguments = _RUN[name]
        define(name, *arguments)


def config_from_flags(**forced):
    """Returns the `Config` that the flags say; settings without a flag stay as usual.

    Args:
      **forced: settings that are not taken from the flags.

    Raises:
      ConfigError: settings that cannot be.
    """
    names = [field.name for field in dataclasses.fields(Config) if field.name in FLAGS]
    return Config(**{**{name: FLAGS[name].value for name in names}, **forced})


def config_help(only=None):
    """Returns the help on the settings, in groups, with the names there are.

    Args:
      only: names of the settings, if not all are wanted.
    """
    groups = {}
    for field in _fields(only):
        groups.setdefault(field.metadata['group'], []).append(field)
    parts = []
    for group, fields in groups.items():
        parts.append(f'{group}:')
        parts.extend(_flag_help(f.name, f.metadata['help'], f.default) for f in fields)
        parts.append('')
    return '\n'.join(parts + _names_help(only))


def flag_help(name):
    """Returns the help on one defined flag."""
    return _flag_help(name, FLAGS[name].help, FLAGS[name].default)


def _flag_help(name, text, default):
    if default not in (None, '', False, []):
        text = f'{text} [{default}]'
    head = f'  --{name}'
    lines = textwrap.wrap(text, _WIDTH - 24)
    first = (
        f'{head:<22}  {lines[0]}' if len(head) <= 22 else f'{head}\n{"":24}{lines[0]}'
    )
    return '\n'.join([first, *(' ' * 24 + line for line in lines[1:])])


def _fields(only):
    return [f for f in dataclasses.fields(Config) if only is None or f.name in only]


def _names_help(only):
    from input import FORMATS
    from model_fns import registry
    from model_fns.optimizers.config import OPTIMIZERS, SCHEDULES

    parts = []
    lists = {
        '--dataset': FORMATS.names(),
        '--network (and its --network_args)': registry.names(),
        '--optimizer': OPTIMIZERS,
        '--schedule': SCHEDULES,
    }
    for title, names in lists.items():
        if only is not None and title.split()[0].removeprefix('--') not in only:
            continue
        parts.append(f'{title}:')
        for name, summary in names.items():
            shown = f'{name}:NAME' if name == 'tfds' else name
            lines = textwrap.wrap(summary, _WIDTH - 24) or ['']
            parts.append(f'  {shown:<20}  {lines[0]}')
            parts.extend(' ' * 24 + line for line in lines[1:])
            if title.startswith('--network'):
                options = registry.NETWORKS.options(name)
                args = ', '.join(f'{k}={_written(v)}' for k, v in options.items())
                parts.extend(
                    ' ' * 24 + line for line in textwrap.wrap(args, _WIDTH - 24)
                )
        parts.append('')
    return parts


def _written(value):
    """A network's setting as `--network_args` wants it."""
    if isinstance(value, tuple):
        return 'x'.join(map(str, value)) or 'none'
    return str(value).lower() if isinstance(value, bool) else value


def _validator(name, check):
    def valid(value):
        wrong = check(value)
        if wrong:
            raise flags.ValidationError(f'{wrong}, got {value!r}')
        return True

    return valid


_RUN = {
    'checkpoint': (
        flags.DEFINE_string,
        '',
        "Step or path of a checkpoint, or 'best'. Default: the latest.",
    ),
    'data_dir': (
        flags.DEFINE_string,
        '',
        'Where the data is now, if it was moved since the training.',
    ),
    'eval_samples': (
        flags.DEFINE_integer,
        None,
        "Passes to average over. Default: as the run's own evaluations.",
    ),
    'eval_tta': (
        flags.DEFINE_string,
        '',
        'Views to average over, as of launch.train: mirror,shift:1; none: the image '
        "alone. Default: as the run's own evaluations.",
    ),
    'eval_precision': (
        flags.DEFINE_enum,
        None,
        Config.__dataclass_fields__['eval_precision'].metadata['choices'],
        "What to compute in. Default: as the run's own evaluations.",
    ),
    'export_tta': (
        flags.DEFINE_bool,
        None,
        'Whether the model averages over the views of --eval_tta. Default: as the '
        'exports of the run.',
    ),
    'check_export': (
        flags.DEFINE_bool,
        None,
        'Whether to compare a SavedModel with its checkpoint, in a fresh process, '
        'before a server can see it. Default: as the exports of the run.',
    ),
    'max_pixels': (
        flags.DEFINE_integer,
        None,
        'Refuse larger images in requests. Default: as the exports of the run.',
    ),
    'device': (flags.DEFINE_enum, 'auto', ['auto', 'cpu', 'gpu'], 'What to run on.'),
}

_DEFINE = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
}

__all__ = ['ConfigError', 'FLAGS', 'config_from_flags', 'config_help', 'define_config']
