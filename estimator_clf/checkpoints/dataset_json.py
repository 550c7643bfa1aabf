"""`dataset.json` in a model_dir: description of the data of a run."""

import os

from estimator_clf.core.atomic_files import write_atomically
from estimator_clf.core.errors import ConfigError
from input.dataset_info import DatasetInfo

FILE_NAME = 'dataset.json'


def load(model_dir: str) -> DatasetInfo:
    """Reads the description in the directory of a run.

    Raises:
      FileNotFoundError: there is no such file.
      ConfigError: it is corrupt.
    """
    path = os.path.join(model_dir, FILE_NAME)
    with open(path, encoding='utf-8') as file:
        text = file.read()
    try:
        return DatasetInfo.from_json(text)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f'{path} is corrupt: {error}') from None


def save(info: DatasetInfo, model_dir: str) -> None:
    """Writes the description atomically."""
    write_atomically(os.path.join(model_dir, FILE_NAME), info.to_json())
