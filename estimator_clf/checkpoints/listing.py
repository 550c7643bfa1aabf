"""Lists the checkpoints in a directory."""

import glob
import os
import re

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from estimator_clf.core.errors import ConfigError


def latest_checkpoint(directory: str | os.PathLike[str]) -> str | None:
    """Returns the path prefix of the latest checkpoint, None if there is none.

    Args:
      directory: a model_dir, or any directory of checkpoints.

    Raises:
      ConfigError: TensorFlow's list of checkpoints, the file `checkpoint`, is corrupt.
    """
    try:
        found = tf.train.latest_checkpoint(directory)
    except ValueError:
        found = None
    if found is None and os.path.exists(os.path.join(directory, 'checkpoint')):
        names = names_of_checkpoints(directory)
        if names:
            raise ConfigError(
                f'{directory}/checkpoint, the list of the checkpoints, is corrupt (a '
                'training run repairs its own when it resumes). There are: '
                + ', '.join(os.path.join(directory, name) for name in names)
            )
    return found


def names_of_checkpoints(directory: str | os.PathLike[str]) -> list[str]:
    """Returns the names of checkpoints, `model.ckpt-STEP`, sorted by step."""
    paths = glob.glob(
        os.path.join(glob.escape(os.fspath(directory)), 'model.ckpt-*.index')
    )
    names = [os.path.basename(path).removesuffix('.index') for path in paths]
    return sorted(names, key=lambda name: [int(n) for n in re.findall(r'\d+', name)])
