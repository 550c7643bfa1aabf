"""Retains the best checkpoints or exports of a run, next to the latest.

`best.json` lists them with value and step. It is read at the start, so that a restart
loses nothing, and only what it lists counts: a kill between two files leaves an orphan,
which the next start removes, but never a list of missing files.
"""

import contextlib
import functools
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Mapping
from typing import Any

from estimator_clf.checkpoints.listing import latest_checkpoint
from estimator_clf.config.metric_goal import MetricGoal
from estimator_clf.core.atomic_files import (
    partial_directory,
    remove_partial,
    write_atomically,
)
from estimator_clf.core.errors import ConfigError

STATE_FILE = 'best.json'

# Unfinished checkpoints and exports: hidden, or named as exports of versions below 0.2.
_UNFINISHED = re.compile(r'\.|partial-\d')


Known = Mapping[int, Mapping[str, float]]


class BestCheckpoints:
    """Retains the n best artifacts (copies, exports) made of checkpoints.

    best = BestCheckpoints('runs/a/best', MetricGoal('accuracy'), 2, copy_checkpoint)
    listener = EvaluationListener(evaluator, 500, report, after=best.maybe_save)
    """

    def __init__(
        self,
        directory: str,
        goal: MetricGoal,
        count: int,
        make: Callable[[str, int, str], str],
        records_only: bool = False,
        split: str = '',
        known: Known | None = None,
        run: str | None = '',
    ) -> None:
        """Reads the state, and removes what a killed run left unfinished.

        Args:
          directory: parent of the artifacts; nothing else may be in it.
          goal: metric and direction.
          count: n, at least 1.
          make: function (checkpoint, step, directory) that atomically makes a directory
            inside `directory` and returns its path.
          records_only: retain an artifact only if it is the best so far. For exports: a
            server takes the last version, which must not be the second best.
          split: evaluated split or set, if there are several.
          known: metrics by step of earlier evaluations. Artifacts retained by another
            metric or split are ranked by these; without them, they stay until any other
            is saved.
          run: name of the run, for `check_directory`.
        """
        self._directory = directory
        self._goal = goal
        self._count = count
        self._make = make
        self._records_only = records_only
        self._split = split
        self._run = run
        self._entries = self._read(known or {})
        if self._entries:
            self._write()  # In their order by this goal.
        self._remove_orphans()

    @property
    def entries(self) -> list[dict[str, Any]]:
        """Dicts of step, value and path, the best first."""
        return [dict(entry) for entry in self._entries]

    def maybe_save(
        self,
        checkpoint: str,
        step: int,
        metrics: Mapping[str, float],
        known: Known | None = None,
    ) -> bool:
        """Saves an artifact of a checkpoint if it is among the best.

        Of equal values the earlier one is better. A second call with the same step
        changes nothing.

        Args:
          checkpoint: path prefix of the checkpoint.
          step: its global step.
          metrics: results of its evaluation.
          known: metrics by step of all evaluations, if this was not called for all of
            them: a checkpoint worse than one that was missed is not saved.

        Returns:
          Whether it was saved.
        """
        value = self._goal.value(metrics)
        retained = {entry['step'] for entry in self._entries}
        if math.isnan(value) or step in retained:
            return False
        missed = [
            m for s, m in (known or {}).items() if s != step and s not in retained
        ]
        if any(self._goal.better(self._goal.value(m), value) for m in missed):
            return False
        rival = 0 if self._records_only else self._count - 1
        if len(self._entries) > rival and not self._goal.better(
            value, self._entries[rival]['value']
        ):
            return False
        os.makedirs(self._directory, exist_ok=True)
        if not os.path.exists(self._state_path()):
            self._write()  # First: this file marks the directory as ours.
        path = self._make(checkpoint, step, self._directory)
        entry = {'step': int(step), 'value': value, 'path': os.path.basename(path)}
        self._entries = self._in_order([*self._entries, entry])[: self._count]
        self._write()
        # Last: a kill before this leaves the old list and all its artifacts.
        self._remove_orphans()
        return True

    def rewind(self, step: int) -> None:
        """Removes artifacts of later steps than the one that the run returns to."""
        left = [entry for entry in self._entries if entry['step'] <= step]
        if left != self._entries:
            self._entries = left
            self._write()
            self._remove_orphans()

    def best_path(self) -> str | None:
        """Returns the path of the best artifact, or None."""
        if not self._entries:
            return None
        return os.path.join(self._directory, self._entries[0]['path'])

    def _state_path(self):
        return os.path.join(self._directory, STATE_FILE)

    def _write(self):
        state: dict[str, Any] = {
            'metric': self._goal.metric,
            'split': self._split,
            'run': self._run,
        }
        # JSON has no NaN.
        state['best'] = [
            {**e, 'value': None if math.isnan(e['value']) else e['value']}
            for e in self._entries
        ]
        write_atomically(self._state_path(), json.dumps(state, indent=2) + '\n')

    def _read(self, known):
        try:
            state = _state(self._directory)
            same = (state['metric'], state.get('split', self._split)) == (
                self._goal.metric,
                self._split,
            )
            entries = [
                {
                    'step': e['step'],
                    'value': math.nan if e['value'] is None else e['value'],
                    'path': e['path'],
                }
                for e in state['best']
            ]
        except (KeyError, TypeError):
            return []
        entries = [
            e
            for e in entries
            if os.path.isdir(os.path.join(self._directory, e['path']))
        ]
        if not same:
            # Values of another metric cannot be compared.
            for entry in entries:
                entry['value'] = self._goal.value(known.get(entry['step'], {}))
        return self._in_order(sorted(entries, key=lambda e: e['step']))

    def _in_order(self, entries):
        """Sorts the best first; equal values stay in their order."""

        def compare(one, other):
            one, other = one['value'], other['value']
            return self._goal.better(other, one) - self._goal.better(one, other)

        return sorted(entries, key=functools.cmp_to_key(compare))

    def _remove_orphans(self):
        if not os.path.isdir(self._directory):
            return
        remove_partial(self._directory)
        retained = {entry['path'] for entry in self._entries}
        for name in os.listdir(self._directory):
            path = os.path.join(self._directory, name)
            hidden = name.startswith('.')
            if os.path.isdir(path) and name not in retained and not hidden:
                shutil.rmtree(path, ignore_errors=True)


def check_directory(directory: str, run: str | None = '') -> None:
    """Raises ConfigError unless a directory is new, empty, or of this run.

    Args:
      directory: that of a `BestCheckpoints`.
      run: its `run`; None for a run that starts and has saved none yet.
    """
    if not os.path.isdir(directory):
        return
    if os.path.exists(os.path.join(directory, STATE_FILE)):
        # A corrupt file, or one of a version that did not write `run`, may be ours.
        owner = _state(directory).get('run', '')
        if run is None or owner not in ('', run):
            raise ConfigError(
                f'{directory} contains the best exports of another run, which cannot '
                'be distinguished from those of this one; move it, or use another '
                '`export_dir`'
            )
        return
    # A kill during the first export leaves an unfinished one.
    there = [n for n in sorted(os.listdir(directory)) if not _UNFINISHED.match(n)]
    if there:
        raise ConfigError(
            f'{directory} is for the best exports of a run and must not exist or be '
            f'empty, but it contains {there[0]!r} and no {STATE_FILE}; move that, or '
            'use another `export_dir`'
        )


def _state(directory: str) -> dict[str, Any]:
    """Reads `best.json` of a directory; {} if there is none, or it is corrupt."""
    try:
        with open(os.path.join(directory, STATE_FILE), encoding='utf-8') as file:
            state = json.load(file)
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def best_directory(model_dir: str) -> str:
    """Returns the directory of the best checkpoints of a run."""
    return os.path.join(model_dir, 'best')


def best_checkpoint(model_dir: str) -> str | None:
    """Returns the path prefix of the best checkpoint of a run, or None."""
    directory = best_directory(model_dir)
    try:
        path = _state(directory)['best'][0]['path']
    except (KeyError, IndexError):
        return None
    return latest_checkpoint(os.path.join(directory, path))


def copy_checkpoint(checkpoint: str, step: int, directory: str) -> str:
    """Copies a checkpoint into `<directory>/<step>/`, for `BestCheckpoints`.

    The copy is a hard link where the file system has them: it takes neither time nor
    space, and stays when the original is deleted.

    Returns:
      Path of the new directory, for `tf.train.latest_checkpoint`.
    """
    target = os.path.join(directory, str(step))
    source, prefix = os.path.split(checkpoint)
    with partial_directory(directory) as partial:
        for name in os.listdir(source or '.'):
            # With the dot: model.ckpt-1 is a prefix of model.ckpt-10.
            if name.startswith(prefix + '.'):
                _link(os.path.join(source, name), os.path.join(partial, name))
        write_atomically(
            os.path.join(partial, 'checkpoint'), f'model_checkpoint_path: "{prefix}"\n'
        )
        shutil.rmtree(target, ignore_errors=True)
        os.rename(partial, target)
    return target


def _link(source, target):
    with contextlib.suppress(OSError):
        os.link(source, target)
        return
    shutil.copy2(source, target)
