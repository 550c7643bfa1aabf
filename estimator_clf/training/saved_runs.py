"""Reads what a run left in its directory: settings, data description, checkpoints."""

import os
from typing import Any

from estimator_clf.config import config_json
from estimator_clf.config.config import Config
from estimator_clf.core.errors import ConfigError
from estimator_clf.core.paths import expand_path
from input.dataset_info import DatasetInfo


def load_config(model_dir: str, **overrides: Any) -> Config:
    """Reads the settings of a run, to use its weights without training.

    Args:
      model_dir: directory of the run.
      **overrides: settings with other values; None and '' keep those of the run.

    Raises:
      ConfigError: there are none, or an invalid one.
    """
    given = {name: v for name, v in overrides.items() if v not in (None, '')}
    if given.get('eval_tta') == 'none':  # Then there is nothing to export either.
        given.setdefault('export_tta', False)
    # The images are read once: caching them, or their features, would gain nothing.
    given.update(cache='none', cache_features=False)
    return config_json.load(model_dir).replace(**given)


def load_info(model_dir: str) -> DatasetInfo:
    """Reads the description of the data of a run.

    Raises:
      ConfigError: there is none, or it is corrupt.
    """
    from estimator_clf.checkpoints import dataset_json

    try:
        return dataset_json.load(model_dir)
    except FileNotFoundError as error:
        raise ConfigError(
            f'`model_dir` must be the directory of a run, but {error.filename} is '
            'missing'
        ) from None


def find_checkpoint(model_dir: str, checkpoint: str = '') -> str:
    """Returns the path prefix of a checkpoint of a run.

    Args:
      model_dir: directory of the run.
      checkpoint: a path, a step, 'best', or '' for the latest.

    Raises:
      ConfigError: there is no such checkpoint.
    """
    import tensorflow as tf

    from estimator_clf.checkpoints.best import best_checkpoint
    from estimator_clf.checkpoints.listing import (
        latest_checkpoint,
        names_of_checkpoints,
    )

    if not checkpoint:
        path = latest_checkpoint(model_dir)
        if not path:
            raise ConfigError(f'`model_dir={model_dir}` has no checkpoint')
        return path
    path = checkpoint
    if checkpoint == 'best':
        path = best_checkpoint(model_dir)
        if not path:
            raise ConfigError(
                f'`checkpoint=best`: {model_dir} has none; the run had `keep_best=0`, '
                'no evaluation, or only evaluations of a test split, which never '
                'select'
            )
        return path
    if checkpoint.isdigit():
        path = os.path.join(model_dir, f'model.ckpt-{checkpoint}')
    path = expand_path(path, '`checkpoint`').removesuffix('.index')
    if os.path.dirname(path) == '' and not os.path.exists(path + '.index'):
        path = os.path.join(model_dir, path)  # As the list below names them.
    if not tf.compat.v1.train.checkpoint_exists(path):
        raise ConfigError(
            f'`checkpoint={checkpoint}`: there is no {path}. There are: '
            + (', '.join(names_of_checkpoints(model_dir)) or 'none')
        )
    return path
