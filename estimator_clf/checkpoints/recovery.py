"""Recovery from corrupt checkpoints: falls back to the newest readable one.

A full disk, a power failure or an interrupted copy leave a listed checkpoint that
cannot be read, or a list that cannot. Earlier checkpoints remain usable.
"""

import os
import re
import shutil

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from estimator_clf.checkpoints.listing import names_of_checkpoints
from estimator_clf.core.atomic_files import remove_partial, write_atomically
from estimator_clf.core.errors import RunError, is_out_of_memory


def recover(model_dir: str) -> str | None:
    """Makes the newest readable checkpoint the latest one.

    Reads the newest checkpoint once. Corrupt ones are removed from the list; their
    files stay, and are overwritten when the run reaches their steps again.

    Args:
      model_dir: directory of the checkpoints; need not exist.

    Returns:
      A sentence about what was corrupt, or None.

    Raises:
      RunError: there are checkpoints, but all are corrupt.
    """
    listed = _listed(model_dir)
    if listed and why_corrupt(listed[-1]) is None:
        return None
    # The list itself may be corrupt or outdated: the files count.
    found = sorted({*listed, *_files(model_dir)}, key=_step)
    if not found:
        return None
    corrupt: list[str] = []
    for number, path in reversed(list(enumerate(found))):
        reason = why_corrupt(path)
        if reason is None:
            _write_list(model_dir, found[: number + 1])
            what = ', '.join(corrupt) or 'The list of checkpoints is corrupt'
            return f'{what}. Resuming from {os.path.basename(path)}.'
        corrupt.append(f'{os.path.basename(path)} is corrupt ({reason})')
    raise RunError(
        f'`model_dir={model_dir}`: every checkpoint is corrupt: {", ".join(corrupt)}. '
        'Use another directory, or remove them to start over'
    )


def sweep(model_dir: str) -> None:
    """Removes unfinished files of a killed run; the caller holds the directory's lock.

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


def step_back(model_dir: str) -> bool:
    """Removes the newest checkpoint from the list, if there is an earlier one.

    Its files stay, and are overwritten when the run reaches its step again.

    Returns:
      Whether there was an earlier one.
    """
    listed = _listed(model_dir)
    if len(listed) < 2:
        return False
    _write_list(model_dir, listed[:-1])
    return True


def why_corrupt(path: str) -> str | None:
    """Returns why a checkpoint cannot be read completely, or None if it can.

    Args:
      path: path prefix of the checkpoint.
    """
    try:
        reader = tf.train.load_checkpoint(path)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)  # Verifies the checksum, too.
    except Exception as error:  # Its C++ side raises many classes, also IndexError.
        if is_out_of_memory(error):
            raise
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
