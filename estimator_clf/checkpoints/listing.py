"""Which checkpoints a folder has."""

import glob
import os
import re

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import tensorflow as tf

from estimator_clf.core.errors import ConfigError


def latest_checkpoint(folder):
    """Returns the path prefix of the latest checkpoint, None if there is none.

    Args:
      folder: of a run, or any that `tf.train.latest_checkpoint` understands.

    Raises:
      ConfigError: TensorFlow's list of them, the file `checkpoint`, is damaged.
    """
    try:
        found = tf.train.latest_checkpoint(folder)
    except ValueError:
        found = None
    if found is None and os.path.exists(os.path.join(folder, 'checkpoint')):
        names = names_of_checkpoints(folder)
        if names:
            raise ConfigError(
                f'{folder}/checkpoint, the list of the checkpoints, is damaged (that '
                'of a run launch.train mends when it goes on). There are: '
                + ', '.join(os.path.join(folder, name) for name in names)
            )
    return found


def names_of_checkpoints(folder):
    """Returns the names of the checkpoints in a folder, `model.ckpt-STEP`, by step."""
    paths = glob.glob(os.path.join(glob.escape(folder), 'model.ckpt-*.index'))
    names = [os.path.basename(path).removesuffix('.index') for path in paths]
    return sorted(names, key=lambda name: [int(n) for n in re.findall(r'\d+', name)])
