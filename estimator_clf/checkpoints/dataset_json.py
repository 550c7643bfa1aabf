"""What a run's directory says about the data it was begun with."""

import os

from estimator_clf.core.atomic_files import write_atomically
from estimator_clf.core.errors import ConfigError
from input.dataset_info import DatasetInfo

FILE_NAME = 'dataset.json'


def load(model_dir):
    """Reads the `DatasetInfo` in the directory of a run.

    Raises:
      FileNotFoundError: there is none.
      ConfigError: it is corrupt.
    """
    path = os.path.join(model_dir, FILE_NAME)
    with open(path, encoding='utf-8') as file:
        text = file.read()
    try:
        return DatasetInfo.from_json(text)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f'{path} is corrupt: {error}') from None


def save(info, model_dir):
    """Writes a `DatasetInfo` there, all or nothing."""
    write_atomically(os.path.join(model_dir, FILE_NAME), info.to_json())
