"""The best of a run, kept beside the latest: checkpoints, or exports.

What is kept, with value and step, is in `best.json`; it is read back at start, so that
a restart forgets nothing, and only what it lists counts: a kill between two files
leaves an orphan, which the next start removes, and never a list of what is not there.
"""

import contextlib
import functools
import json
import math
import os
import re
import shutil

from estimator_clf.checkpoints.listing import latest_checkpoint
from estimator_clf.core.atomic_files import (
    partial_directory,
    remove_partial,
    write_atomically,
)
from estimator_clf.core.errors import ConfigError

STATE_FILE = 'best.json'

# As `copy_checkpoint` and `estimator_clf.export.versions` name what they work on.
_UNFINISHED = re.compile(r'\.|partial-\d')


class BestCheckpoints:
    """Keeps the n best things that were made of checkpoints.

    keeper = BestCheckpoints('runs/a/best', Goal('accuracy'), 2, copy_checkpoint)
    listener = EvaluationListener(evaluator, 500, report, after=keeper.offer)
    """

    def __init__(
        self,
        directory,
        goal,
        count,
        make,
        records_only=False,
        split='',
        known=None,
        run='',
    ):
        """Makes the keeper; removes what a killed run left unfinished.

        Args:
          directory: where; nothing else may be in it.
          goal: `MetricGoal`.
          count: n, at least 1.
          make: function (checkpoint, step, directory) that makes a directory inside of
            `directory`, all at once, and returns its path.
          records_only: keep a thing only if it is the best so far. For exports: a
            server takes the last version, which must not be the second best.
          split: what was evaluated, where there is more than one thing to evaluate.
          known: dict step -> metrics of earlier evaluations. What was kept by another
            metric or split is ordered by these; without them, it stays until any
            that is offered takes its place.
          run: whose best they are, for `check_directory`.
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
    def entries(self):
        """List of dicts of step, value and path, the best first."""
        return [dict(entry) for entry in self._entries]

    def maybe_save(self, checkpoint, step, metrics, known=None):
        """Keeps what is made of a checkpoint, if it is among the best.

        Of equals the earlier one is better. Offering one twice changes nothing.

        Args:
          checkpoint: path prefix of the checkpoint.
          step: its global step.
          metrics: what evaluation found.
          known: dict step -> metrics of all evaluations, where not all of them were
            offered: of something that is not kept a worse one takes no place.

        Returns:
          Whether it is kept.
        """
        value = self._goal.value(metrics)
        kept = {entry['step'] for entry in self._entries}
        if math.isnan(value) or step in kept:
            return False
        missed = [m for s, m in (known or {}).items() if s != step and s not in kept]
        if any(self._goal.better(self._goal.value(m), value) for m in missed):
            return False
        rival = 0 if self._records_only else self._count - 1
        if len(self._entries) > rival and not self._goal.better(
            value, self._entries[rival]['value']
        ):
            return False
        os.makedirs(self._directory, exist_ok=True)
        if not os.path.exists(self._state_path()):
            self._write()  # First of all: by this the directory is known as ours.
        path = self._make(checkpoint, step, self._directory)
        entry = {'step': int(step), 'value': value, 'path': os.path.basename(path)}
        self._entries = self._in_order([*self._entries, entry])[: self._count]
        self._write()
        # Only now: killed before this, the old list and all that it names are there.
        self._remove_orphans()
        return True

    def rewind(self, step):
        """Lets go of what is later than a step to which the run has gone back."""
        left = [entry for entry in self._entries if entry['step'] <= step]
        if left != self._entries:
            self._entries = left
            self._write()
            self._remove_orphans()

    def best_path(self):
        """Returns the path of the best, or None."""
        if not self._entries:
            return None
        return os.path.join(self._directory, self._entries[0]['path'])

    def _state_path(self):
        return os.path.join(self._directory, STATE_FILE)

    def _write(self):
        state = {'metric': self._goal.metric, 'split': self._split, 'run': self._run}
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
            # Values of another metric say nothing about this one.
            for entry in entries:
                entry['value'] = self._goal.value(known.get(entry['step'], {}))
        return self._in_order(sorted(entries, key=lambda e: e['step']))

    def _in_order(self, entries):
        """The best first; of equals the one that was first."""

        def compare(one, other):
            one, other = one['value'], other['value']
            return self._goal.better(other, one) - self._goal.better(one, other)

        return sorted(entries, key=functools.cmp_to_key(compare))

    def _remove_orphans(self):
        if not os.path.isdir(self._directory):
            return
        remove_partial(self._directory)
        kept = {entry['path'] for entry in self._entries}
        for name in os.listdir(self._directory):
            path = os.path.join(self._directory, name)
            hidden = name.startswith('.')
            if os.path.isdir(path) and name not in kept and not hidden:
                shutil.rmtree(path, ignore_errors=True)


def check_directory(directory, run=''):
    """Raises ConfigError unless a directory is new, empty, or of this run's `BestCheckpoints`.

    Args:
      directory: where a `BestCheckpoints` is to keep things.
      run: as it is given it; None for a run that only begins, and has none yet.
    """
    if not os.path.isdir(directory):
        return
    if os.path.exists(os.path.join(directory, STATE_FILE)):
        # Damaged, or by a version that did not write down whose it is: it may be ours.
        owner = _state(directory).get('run', '')
        if run is None or owner not in ('', run):
            raise ConfigError(
                f'{directory} holds the best of another run, and what is best here could '
                'not be told from it; move it, or name another `export_dir`'
            )
        return
    # A kill in the first export leaves what is not whole yet.
    there = [n for n in sorted(os.listdir(directory)) if not _UNFINISHED.match(n)]
    if there:
        raise ConfigError(
            f'{directory} is for the best of a run and must not exist or be empty, but it '
            f'holds {there[0]!r} and no {STATE_FILE}; move that, or name another '
            '`export_dir`'
        )


def _state(directory):
    """What `best.json` of a directory says; {} if there is none, or it is corrupt."""
    try:
        with open(os.path.join(directory, STATE_FILE), encoding='utf-8') as file:
            state = json.load(file)
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def best_directory(model_dir):
    """Returns the directory in which a run keeps its best checkpoints."""
    return os.path.join(model_dir, 'best')


def best_checkpoint(model_dir):
    """Returns the path prefix of the best checkpoint that a run keeps, or None."""
    directory = best_directory(model_dir)
    try:
        path = _state(directory)['best'][0]['path']
    except (KeyError, IndexError):
        return None
    return latest_checkpoint(os.path.join(directory, path))


def copy_checkpoint(checkpoint, step, directory):
    """Copies a checkpoint into `<directory>/<step>/`, for `BestCheckpoints`.

    The copy is a hard link where the file system has such: it costs no time and no
    space, and stays when the original is rotated away.

    Returns:
      Path of the new directory, which `tf.train.latest_checkpoint` understands.
    """
    target = os.path.join(directory, str(step))
    source, prefix = os.path.split(checkpoint)
    with partial_directory(directory) as partial:
        for name in os.listdir(source or '.'):
            # The dot: model.ckpt-1 is also the beginning of model.ckpt-10.
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
