"""The directory of a run: whose it is, and how far it got."""

import json
import os
import uuid

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import tensorflow as tf

from estimator_clf.checkpoints import dataset_json
from estimator_clf.checkpoints.listing import names_of_checkpoints
from estimator_clf.config import config as configuration
from estimator_clf.core import provenance
from estimator_clf.core.atomic_files import write_atomically
from estimator_clf.core.errors import ConfigError
from estimator_clf.evaluation import eval_sets


def latest_step(model_dir):
    """Returns the global step of the latest checkpoint, 0 if there is none."""
    checkpoint = tf.train.latest_checkpoint(model_dir)
    if not checkpoint:
        return 0
    return int(tf.train.load_variable(checkpoint, 'global_step'))


def run_id(model_dir):
    """Returns what tells a run from all others.

    None for one that only begins; '' for one that an older version has begun.
    """
    path = os.path.join(model_dir, configuration.FILE_NAME)
    if not os.path.exists(path):
        return None
    try:
        with open(path, encoding='utf-8') as file:
            return json.load(file).get('run', '')
    except (OSError, ValueError, AttributeError):
        return ''


def check_resume(config):
    """Raises ConfigError if `resume` and what is in the directory do not agree."""
    there = names_of_checkpoints(config.model_dir)
    if config.resume == 'never' and there:
        raise ConfigError(
            f'`resume=never`, but `model_dir={config.model_dir}` holds checkpoints; '
            'take another directory'
        )
    if config.resume == 'must' and not there:
        raise ConfigError(
            f'`resume=must`, but `model_dir={config.model_dir}` holds no checkpoint'
        )


def known_data(config):
    """Returns the `DatasetInfo` that a run goes on with, None if it only begins.

    Raises:
      ConfigError: it is corrupt.
    """
    if not names_of_checkpoints(config.model_dir):
        return None
    try:
        return dataset_json.load(config.model_dir)
    except FileNotFoundError:
        return None


def check(config, info):
    """Checks that a run may go into the model_dir; writes nothing.

    Args:
      config: `Config`.
      info: `DatasetInfo`.

    Raises:
      ConfigError: the directory cannot be written, or belongs to a run of other
      settings
        or other data.
    """
    _check_writable('model_dir', config.model_dir)
    if config.export:  # Found out now, and not after the training.
        _check_writable('export_dir', config.export_dir)
    if os.path.exists(os.path.join(config.model_dir, configuration.FILE_NAME)):
        before = configuration.load(config.model_dir)  # Refuses what is not ours.
        # What a mistake has stopped before its first step left nothing to go on from.
        if names_of_checkpoints(config.model_dir):
            _check_same_run(before, config, info)
    elif latest_step(config.model_dir):
        raise ConfigError(
            f'`model_dir={config.model_dir}` holds checkpoints but no '
            f'{configuration.FILE_NAME}: it is not ours; take another directory'
        )


def take(config, lock):
    """Makes the model_dir, if need be, and locks it.

    Args:
      config: `Config`.
      lock: `DirectoryLock` of the directory.

    Raises:
      ConfigError: it cannot be made, or another process is training in it.
    """
    try:
        os.makedirs(config.model_dir, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f'`model_dir={config.model_dir}` cannot be made: {error.strerror}; name '
            'another'
        ) from None
    lock.acquire()  # Only now, if the directory is new.


def claim(config, info, lock):
    """Writes the settings into the model_dir, once all has been checked.

    Args:
      config: `Config`.
      info: `DatasetInfo`.
      lock: `DirectoryLock` of the directory.

    Raises:
      ConfigError: see `check` and `take`.
    """
    check(config, info)  # Once more: it may have become another's meanwhile.
    take(config, lock)
    run = run_id(config.model_dir) or uuid.uuid4().hex
    record = {'run': run, 'settings': config.to_dict(), **provenance.collect()}
    path = os.path.join(config.model_dir, configuration.FILE_NAME)
    write_atomically(path, json.dumps(record, indent=2) + '\n')
    dataset_json.save(info, config.model_dir)


def _check_writable(flag, directory):
    path = os.path.abspath(directory)
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    if not os.path.isdir(path):
        wrong = 'is a file'
    elif not os.access(path, os.W_OK | os.X_OK):
        wrong = 'may not be written to'
    else:
        return
    raise ConfigError(
        f'`{flag}`={directory} cannot be made or written: {path} {wrong}; name another'
    )


def _check_same_run(before, config, info):
    different = before.differences(config)
    if different:
        listed = '\n'.join(
            f'  `{name}`: {there!r} there, {now!r} now'
            for name, there, now in different
        )
        raise ConfigError(
            f'`model_dir={config.model_dir}` belongs to a run of other settings:\n'
            f'{listed}\nTake another `model_dir`, or the same settings to go on.'
        )
    _check_same_sets(before, config)
    there = known_data(config)
    if there:
        for name in ('class_names', 'image_shape', 'num_examples'):
            old, new = getattr(there, name), getattr(info, name)
            if name == 'num_examples' and config.dataset.startswith('tfds:'):
                # Which splits there are follows from what is trained on.
                common = old.keys() & new.keys() | {config.train_split}
                old, new = ({s: n.get(s) for s in common} for n in (old, new))
            if old != new:
                raise ConfigError(
                    f'`model_dir={config.model_dir}`: the data has changed since: '
                    f'{name} was {old}, is {new}. Take another `model_dir`.'
                )


def _check_same_sets(before, config):
    """Under one name is one set of examples: its results are known by that."""
    known = {wish.name: wish for wish in eval_sets.parse(before.extra_eval_sets)}
    for wish in eval_sets.parse(config.extra_eval_sets):
        old = known.get(wish.name, wish)
        if _differ(old, wish):
            raise ConfigError(
                f'`extra_eval_sets`: {wish.name!r} was {_shown(old)} in '
                f'`model_dir={config.model_dir}` so far, is {_shown(wish)}; give that another name'
            )


def _differ(old, new):
    if bool(old.data_dir) != bool(new.data_dir):
        return True
    if not new.data_dir:
        return old.split != new.split
    if old.split and new.split and old.split != new.split:
        return True
    # A directory that is not there any more may have been moved.
    directories = [os.path.realpath(wish.data_dir) for wish in (old, new)]
    return directories[0] != directories[1] and os.path.isdir(directories[0])


def _shown(wish):
    return wish.split + (wish.data_dir and f'@{wish.data_dir}')
