"""Reads and writes the settings of a run, `config.json` in its directory."""

import json
import os
from typing import Any

from estimator_clf.config.config import Config, make_config
from estimator_clf.config.groups.fields import FIELDS
from estimator_clf.config.upgrade import RENAMED, upgrade
from estimator_clf.core.atomic_files import write_atomically
from estimator_clf.core.errors import ConfigError

FILE_NAME = 'config.json'

#: Version of the format. Files without one are of version 0.1 of this project.
FORMAT = 2


def to_json(config: Config, **record: Any) -> str:
    """Returns the text of the file.

    Args:
      config: the settings.
      **record: what else the file holds: versions, identity of the run.
    """
    settings = {'format': FORMAT, **record, 'settings': config.to_flat()}
    return json.dumps(settings, indent=2) + '\n'


def add_record(model_dir: str, **record: Any) -> None:
    """Adds entries to the file of a run, outside of its settings."""
    path = os.path.join(model_dir, FILE_NAME)
    with open(path, encoding='utf-8') as file:
        known = json.load(file)
    write_atomically(path, json.dumps({**known, **record}, indent=2) + '\n')


def load(model_dir: str) -> Config:
    """Reads the settings of the run in a directory.

    A run of version 0.1 is read too: its settings are translated to today's names and
    syntax.

    Raises:
      ConfigError: there is none, it is corrupt, or a newer version wrote it.
    """
    path = os.path.join(model_dir, FILE_NAME)
    try:
        with open(path, encoding='utf-8') as file:
            record = json.load(file)
        settings = dict(record['settings'])
        version = record.get('format', 1)
    except FileNotFoundError:
        raise ConfigError(
            f'`model_dir` must be the directory of a run, but {model_dir} has no '
            f'{FILE_NAME}'
        ) from None
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f'{path} is corrupt: {error}') from None
    if version == 1:
        settings = upgrade(settings, _class_names(model_dir))
    # Also of this format, written before a setting was renamed.
    settings = {RENAMED.get(name, name): value for name, value in settings.items()}
    unknown = sorted(set(settings) - set(FIELDS))
    if unknown:
        raise ConfigError(
            f'{path} has settings that this version does not know: '
            + ', '.join(unknown)
        )
    # The directory may have been moved, and its export with it.
    inside = os.path.join(settings.get('model_dir', ''), 'export')
    if settings.get('export_dir') == inside:
        settings['export_dir'] = ''
    return make_config(**{**settings, 'model_dir': model_dir})


def _class_names(model_dir):
    """Class names of the run's data; () where they are unknown."""
    try:
        with open(os.path.join(model_dir, 'dataset.json'), encoding='utf-8') as file:
            return tuple(json.load(file)['class_names'])
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def run_id(model_dir: str) -> str | None:
    """Returns the random identity of the run in a directory.

    None without a run; '' for a run of a version that wrote none.
    """
    path = os.path.join(model_dir, FILE_NAME)
    if not os.path.exists(path):
        return None
    try:
        with open(path, encoding='utf-8') as file:
            return json.load(file).get('run', '')
    except (OSError, ValueError, AttributeError):
        return ''
