"""Checks and claims the directory of a run."""

import contextlib
import dataclasses
import os
import uuid
from collections.abc import Mapping

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
from estimator_clf.training import schedule_change
from input import fingerprint
from input.dataset_info import DatasetInfo
from input.fingerprint import Identity

# Starts the key of an evaluation set among the fingerprints of the splits.
_EVAL_SET = 'eval_set:'


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
            f'`resume=never`, but `model_dir={model_dir}` holds checkpoints; omit '
            f'`resume` to resume that run.\n{_way_out(config)}'
        )
    if resume == 'must' and not exists:
        raise ConfigError(
            f'`resume=must`, but `model_dir={model_dir}` holds no checkpoint; set '
            '`model_dir` to the run to resume, or omit `resume` to start a new one'
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
            f'{config_json.FILE_NAME}: they are of another program.\n'
            f'{_way_out(config)}'
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


def resume_notes(config: Config, info: DatasetInfo) -> list[str]:
    """Says what is different in a resumed run although it is not refused.

    Args:
      config: settings of the run.
      info: description of its data.
    """
    model_dir = config.run.model_dir
    known = known_data(config)
    if known is None or not names_of_checkpoints(model_dir):
        return []
    notes = []
    if known.fingerprints is None:
        notes.append(
            f'{os.path.join(model_dir, dataset_json.FILE_NAME)} has no fingerprint of '
            'the data, since an older version wrote it: whether the data is still the '
            'same is known by its classes, image shape and number of examples only. '
            'Its fingerprint is stored now.'
        )
    size = info.num_examples[config.data.train_split]
    change = schedule_change.describe(
        config_json.load(model_dir), config, size, latest_step(model_dir)
    )
    return notes + ([change] if change else [])


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
            'Use the same settings to resume that run.\n' + _way_out(config)
        )
    _check_same_eval_sets(before, config)
    known = known_data(config)
    changes = _data_changes(known, info, config) if known else []
    if changes:
        listed = '\n'.join(f'  {change}' for change in changes)
        raise ConfigError(
            f'`model_dir={model_dir}`: the data has changed since that run:\n{listed}\n'
            'Restore the data, or set `data_dir` to a copy of it, to resume that run.\n'
            + _way_out(config)
        )


def _data_changes(known: DatasetInfo, info: DatasetInfo, config: Config) -> list[str]:
    """Lists the differences between the data of a run and the data now."""
    changes = [
        f'{name} was {getattr(known, name)}, is {getattr(info, name)}'
        for name in ('class_names', 'image_shape')
        if getattr(known, name) != getattr(info, name)
    ]
    splits = list(dict.fromkeys([*known.num_examples, *info.num_examples]))
    if config.data.dataset.startswith('tfds:'):
        # Which splits exist depends on which one is trained on.
        both = known.num_examples.keys() & info.num_examples.keys()
        splits = [s for s in splits if s in both or s == config.data.train_split]
    old_prints, new_prints = known.fingerprints or {}, info.fingerprints or {}
    for split in splits:
        old, new = known.num_examples.get(split), info.num_examples.get(split)
        if old is None or new is None:
            what = 'is new' if old is None else 'does not exist any more'
            changes.append(f'the split {split!r} {what}')
            continue
        change = fingerprint.differences(
            {**old_prints.get(split, {}), 'examples': old},
            {**new_prints.get(split, {}), 'examples': new},
            info.class_names,
        )
        if change:
            changes.append(f'{split}: {change}')
    return changes


def _way_out(config: Config) -> str:
    """Says how to train on from the weights of a run that cannot be resumed."""
    if config.optimization.optimizer == 'ftrl':  # It cannot be warm-started.
        return 'To start over, use another `model_dir`.'
    more = ''
    try:
        config.replace(warm_start=config.run.model_dir)
    except ConfigError:  # Both would name the initial weights.
        more = ', and the option weights=none of `network`'
    return (
        'To start a new run from its weights, set '
        f'`warm_start={config.run.model_dir}` and another `model_dir`{more}.'
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


def with_eval_sets(
    config: Config, info: DatasetInfo, identities: Mapping[str, Identity]
) -> DatasetInfo:
    """Adds the identities of evaluation sets of other directories to a description.

    Args:
      config: settings of the run.
      info: description of its data.
      identities: by name of the set.

    Raises:
      ConfigError: a set has other examples than so far, under whose name its results
        are filed.
    """
    known = known_data(config)
    prints = dict(info.fingerprints or {})
    before = (known.fingerprints or {}) if known else {}
    # A set that is omitted once may come back.
    prints.update({key: x for key, x in before.items() if key.startswith(_EVAL_SET)})
    for name, identity in identities.items():
        key = _EVAL_SET + name
        change = fingerprint.differences(
            before.get(key, {}), identity, info.class_names
        )
        if change:
            raise ConfigError(
                f'`extra_eval_sets`: the data of {name!r} has changed since the last '
                f'evaluation of `model_dir={config.run.model_dir}`: {change}. Give the '
                'set another name, or restore the data'
            )
        prints[key] = identity
    return dataclasses.replace(info, fingerprints=prints)


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
