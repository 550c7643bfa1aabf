"""Checks and claims the directory of a run."""

import contextlib
import os
import uuid

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from estimator_clf.checkpoints import dataset_json
from estimator_clf.checkpoints.listing import names_of_checkpoints
from estimator_clf.config import config_json, eval_set_specs
from estimator_clf.config.config import Config
from estimator_clf.config.eval_set_specs import EvalSetSpec
from estimator_clf.core import provenance
from estimator_clf.core.atomic_files import write_atomically
from estimator_clf.core.errors import ConfigError
from estimator_clf.core.file_lock import DirectoryLock
from input.dataset_info import DatasetInfo


def latest_step(model_dir: str) -> int:
    """Returns the global step of the latest checkpoint, 0 if there is none."""
    checkpoint = tf.train.latest_checkpoint(model_dir)
    if not checkpoint:
        return 0
    return int(tf.train.load_variable(checkpoint, 'global_step'))


def check_resume(config: Config) -> None:
    """Checks `resume` against the checkpoints in the directory.

    Raises:
      ConfigError: `resume=never` with checkpoints, or `resume=must` without.
    """
    model_dir, resume = config.run.model_dir, config.run.resume
    exists = bool(names_of_checkpoints(model_dir))
    if resume == 'never' and exists:
        raise ConfigError(
            f'`resume=never`, but `model_dir={model_dir}` holds checkpoints; use '
            'another directory'
        )
    if resume == 'must' and not exists:
        raise ConfigError(
            f'`resume=must`, but `model_dir={model_dir}` holds no checkpoint'
        )


def known_data(config: Config) -> DatasetInfo | None:
    """Returns the description of the data of the run that is resumed, else None.

    Raises:
      ConfigError: it is corrupt.
    """
    if not names_of_checkpoints(config.run.model_dir):
        return None
    try:
        return dataset_json.load(config.run.model_dir)
    except FileNotFoundError:
        return None


def known_config(config: Config) -> Config | None:
    """Returns the settings of the run that is resumed, else None.

    Raises:
      ConfigError: they are corrupt.
    """
    model_dir = config.run.model_dir
    path = os.path.join(model_dir, config_json.FILE_NAME)
    if not names_of_checkpoints(model_dir) or not os.path.exists(path):
        return None
    return config_json.load(model_dir)


def remove_untrained(model_dir: str) -> None:
    """Removes the checkpoint of step 0 if it is the only one.

    A run that fails in its first step is then started with other settings, which
    `check` refuses to resume from a checkpoint.
    """
    if names_of_checkpoints(model_dir) != ['model.ckpt-0']:
        return
    for name in os.listdir(model_dir):
        if name == 'checkpoint' or name.startswith('model.ckpt-0.'):
            with contextlib.suppress(OSError):
                os.remove(os.path.join(model_dir, name))


def check(config: Config, info: DatasetInfo) -> None:
    """Checks that a run may use the directory; writes nothing.

    Args:
      config: settings of the run.
      info: description of its data.

    Raises:
      ConfigError: the directory is not writable, or belongs to a run of other settings
        or other data.
    """
    model_dir = config.run.model_dir
    _check_writable('model_dir', model_dir)
    if config.exports.export:  # Before the training rather than after it.
        _check_writable('export_dir', config.exports.export_dir)
    if os.path.exists(os.path.join(model_dir, config_json.FILE_NAME)):
        before = config_json.load(model_dir)  # Refuses files of other programs.
        # A run that failed before its first checkpoint left nothing to resume from.
        if names_of_checkpoints(model_dir):
            _check_same_run(before, config, info)
    elif latest_step(model_dir):
        raise ConfigError(
            f'`model_dir={model_dir}` holds checkpoints but no '
            f'{config_json.FILE_NAME}: they are of another program; use another '
            'directory'
        )


def take(config: Config, lock: DirectoryLock) -> None:
    """Creates the directory if it does not exist, and locks it.

    Raises:
      ConfigError: it cannot be created, or another process is training in it.
    """
    model_dir = config.run.model_dir
    try:
        os.makedirs(model_dir, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f'`model_dir={model_dir}` cannot be created: {error.strerror}; use another'
        ) from None
    lock.acquire()  # A directory that did not exist could not be locked before.


def claim(config: Config, info: DatasetInfo, lock: DirectoryLock) -> None:
    """Writes the settings into the directory, after everything has been checked.

    Raises:
      ConfigError: see `check` and `take`.
    """
    check(config, info)  # Again: another run may have claimed it meanwhile.
    take(config, lock)
    model_dir = config.run.model_dir
    run = config_json.run_id(model_dir) or uuid.uuid4().hex
    path = os.path.join(model_dir, config_json.FILE_NAME)
    text = config_json.to_json(config, run=run, **provenance.collect())
    write_atomically(path, text)
    dataset_json.save(info, model_dir)


def _check_writable(argument, directory):
    path = os.path.abspath(directory)
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    if not os.path.isdir(path):
        problem = 'is a file'
    elif not os.access(path, os.W_OK | os.X_OK):
        problem = 'is not writable'
    else:
        return
    raise ConfigError(
        f'`{argument}={directory}` cannot be created or written: {path} {problem}; use '
        'another'
    )


def _check_same_run(before, config, info):
    model_dir = config.run.model_dir
    different = before.differences(config)
    if different:
        listed = '\n'.join(
            f'  `{name}`: {there!r} there, {now!r} now'
            for name, there, now in different
        )
        raise ConfigError(
            f'`model_dir={model_dir}` belongs to a run of other settings:\n{listed}\n'
            'Use another `model_dir`, or the same settings to resume that run.'
        )
    _check_same_eval_sets(before, config)
    known = known_data(config)
    if known:
        for name in ('class_names', 'image_shape', 'num_examples'):
            old, new = getattr(known, name), getattr(info, name)
            if name == 'num_examples' and config.data.dataset.startswith('tfds:'):
                # Which splits exist depends on which one is trained on.
                common = old.keys() & new.keys() | {config.data.train_split}
                old, new = ({s: n.get(s) for s in common} for n in (old, new))
            if old != new:
                raise ConfigError(
                    f'`model_dir={model_dir}`: the data has changed since: {name} was '
                    f'{old}, is {new}. Use another `model_dir`.'
                )


def _check_same_eval_sets(before, config):
    """One name stands for one set of examples: its results are filed under it."""
    known = {
        spec.name: spec
        for spec in eval_set_specs.parse(before.evaluation.extra_eval_sets)
    }
    for spec in eval_set_specs.parse(config.evaluation.extra_eval_sets):
        old = known.get(spec.name, spec)
        if _differ(old, spec):
            raise ConfigError(
                f'`extra_eval_sets`: {spec.name!r} was {old.source} in '
                f'`model_dir={config.run.model_dir}` so far, is {spec.source}; give '
                'that another name'
            )


def _differ(old: EvalSetSpec, new: EvalSetSpec) -> bool:
    if bool(old.data_dir) != bool(new.data_dir):
        return True
    if not new.data_dir:
        return old.split != new.split
    if old.split and new.split and old.split != new.split:
        return True
    # A directory that does not exist any more may have been moved.
    directories = [os.path.realpath(spec.data_dir) for spec in (old, new)]
    return directories[0] != directories[1] and os.path.isdir(directories[0])
