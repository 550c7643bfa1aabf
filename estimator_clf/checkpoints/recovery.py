"""Going on from the newest checkpoint that is whole.

A full disk, a pulled plug or a copy cut short leave a checkpoint that is listed and
cannot be read, or a list that cannot. What was saved before it is not lost with it.
"""

import os
import re
import shutil

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import tensorflow as tf

from estimator_clf.checkpoints.listing import names_of_checkpoints
from estimator_clf.core.atomic_files import remove_partial, write_atomically
from estimator_clf.core.errors import RunError


def recover(model_dir):
    """Makes the newest checkpoint that is whole the latest one.

    Costs reading the newest checkpoint once. Damaged ones are taken off the list; their
    files stay, and are written over when the run comes to their steps again.

    Args:
      model_dir: directory of the checkpoints; need not exist.

    Returns:
      A sentence about what was corrupt, or None.

    Raises:
      RunError: there are checkpoints and not one of them is whole.
    """
    listed = _listed(model_dir)
    if listed and why_damaged(listed[-1]) is None:
        return None
    # The list may be corrupt itself, or behind: the files count.
    found = sorted({*listed, *_files(model_dir)}, key=_step)
    if not found:
        return None
    damaged = []
    for number, path in reversed(list(enumerate(found))):
        reason = why_damaged(path)
        if reason is None:
            _write_list(model_dir, found[: number + 1])
            what = ', '.join(damaged) or 'The list of checkpoints is corrupt'
            return f'{what}. Going on from {os.path.basename(path)}.'
        damaged.append(f'{os.path.basename(path)} is corrupt ({reason})')
    raise RunError(
        f'`model_dir={model_dir}`: no checkpoint is whole: {", ".join(damaged)}. Take '
        'another directory, or remove them to start again'
    )


def sweep(model_dir):
    """Removes what a killed run left half written; for who holds the directory's lock.

    Args:
      model_dir: directory of the run; need not exist.
    """
    if not os.path.isdir(model_dir):
        return
    remove_partial(model_dir)
    for name in os.listdir(model_dir):
        # TensorFlow writes a checkpoint there before it renames its files.
        if re.fullmatch(r'model\.ckpt-\d+_temp', name):
            shutil.rmtree(os.path.join(model_dir, name), ignore_errors=True)


def step_back(model_dir):
    """Takes the newest checkpoint off the list, if there is one before it.

    Its files stay, and are written over when the run comes to its step again.

    Returns:
      Whether there was one before it.
    """
    listed = _listed(model_dir)
    if len(listed) < 2:
        return False
    _write_list(model_dir, listed[:-1])
    return True


def why_damaged(path):
    """Returns why a checkpoint cannot be read, or None if every byte of it can.

    Args:
      path: path prefix of the checkpoint.
    """
    try:
        reader = tf.train.load_checkpoint(path)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)  # Compares the checksum, too.
    except Exception as error:  # Also IndexError and what else its C++ side maps to.
        text = str(getattr(error, 'message', error)) or type(error).__name__
        return text.splitlines()[0][:100]
    return None


def _listed(model_dir):
    try:
        state = tf.train.get_checkpoint_state(model_dir)
    except (ValueError, tf.errors.OpError):
        return []
    return sorted(state.all_model_checkpoint_paths, key=_step) if state else []


def _files(model_dir):
    return [os.path.join(model_dir, name) for name in names_of_checkpoints(model_dir)]


def _step(path):
    match = re.search(r'-(\d+)$', path)
    return int(match[1]) if match else -1


def _write_list(model_dir, paths):
    names = [os.path.basename(path) for path in paths]
    lines = [f'model_checkpoint_path: "{names[-1]}"']
    lines += [f'all_model_checkpoint_paths: "{name}"' for name in names]
    write_atomically(os.path.join(model_dir, 'checkpoint'), '\n'.join(lines) + '\n')
