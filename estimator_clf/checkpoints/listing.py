"""Which checkpoints a directory has."""

import glob
import os
import re

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import tensorflow as tf

from estimator_clf.core.errors import ConfigError


def latest_checkpoint(directory):
    """Returns the path prefix of the latest checkpoint, None if there is none.

    Args:
      directory: of a run, or any that `tf.train.latest_checkpoint` understands.

    Raises:
      ConfigError: TensorFlow's list of them, the file `checkpoint`, is corrupt.
    """
    try:
        found = tf.train.latest_checkpoint(directory)
    except ValueError:
        found = None
    if found is None and os.path.exists(os.path.join(directory, 'checkpoint')):
        names = names_of_checkpoints(directory)
        if names:
            raise ConfigError(
                f'{directory}/checkpoint, the list of the checkpoints, is corrupt (that '
                'of a run launch.train mends when it goes on). There are: '
                + ', '.join(os.path.join(directory, name) for name in names)
            )
    return found


def names_of_checkpoints(directory):
    """Returns the names of the checkpoints in a directory, `model.ckpt-STEP`, by step."""
    paths = glob.glob(os.path.join(glob.escape(directory), 'model.ckpt-*.index'))
    names = [os.path.basename(path).removesuffix('.index') for path in paths]
    return sorted(names, key=lambda name: [int(n) for n in re.findall(r'\d+', name)])
