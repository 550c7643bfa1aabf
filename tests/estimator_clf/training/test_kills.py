"""Killed thirty times, at any moment: nothing is lost, and nothing is different.

python -m pytest -m slow tests/estimator_clf/training/test_kills.py
"""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.config.config import make_config
from estimator_clf.loggers.jsonl import read
from estimator_clf.training.trainer import train_and_evaluate
from tests.helpers.launching import ROOT
from tests.helpers.small_run import TIMED, weights

KILLS = 30

# All that could be lost has a part: dropout, batch norm, Adam's moments, averaged
# weights, a falling rate, augmentation, the best so far, exports.
SETTINGS = {
    'dataset': 'digits',
    'network': 'cnn(filters=(4, 8), hidden=16, kernel=3, batch_norm=true)',
    'optimizer': 'adamw',
    'weight_decay': 0.01,
    'schedule': 'cosine',
    'warmup': '5%',
    'ema_decay': 0.99,
    'augment': 'crop(1), cutout(2), mixup(0.2)',
    'batch_size': 32,
    'validation_split': 0.2,
    'max_steps': 1500,
    'log_every': '25',
    'save_every': '25',
    'eval_every': '50',
    'extra_eval_sets': 'fit(train, every=100)',
    'keep_best': 3,
    'export_best': 2,
    'best_metric': 'loss',
    'record_keys': True,
}


def _start(directory):
    flags = [f'--{name}={value}' for name, value in SETTINGS.items()]
    return subprocess.Popen(
        [sys.executable, '-m', 'launch.train', *flags, f'--model_dir={directory}'],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _unbroken(directory):
    config = make_config(model_dir=str(directory), **SETTINGS)
    return train_and_evaluate(config)


def _names(directory):
    return os.listdir(directory) if directory.is_dir() else []


def _moments(directory, rng):
    """Yields for ever (what it is, function that tells whether it is now)."""

    def steps(wait):
        """So long after the first step of this process."""
        path, seen = directory / 'keys.jsonl', []
        size = path.stat().st_size if path.exists() else 0

        def now():
            if not seen and path.exists() and path.stat().st_size != size:
                seen.append(time.monotonic())
            return bool(seen) and time.monotonic() > seen[0] + wait

        return now

    def writing():
        return any(name.endswith('_temp') for name in _names(directory))

    def evaluating():
        """The line about training up to here is there, that about evaluation not."""
        lines = read(directory / 'metrics.jsonl')[-1:]
        return (
            bool(lines) and lines[0]['split'] == 'train' and not lines[0]['step'] % 50
        )

    def keeping():
        parts = (directory / 'best', directory)
        return any(n.startswith('.partial') for part in parts for n in _names(part))

    def exporting():
        parts = (directory / 'export', directory / 'export-best')
        return any(n.startswith('partial') for part in parts for n in _names(part))

    others = {'checkpoint': writing, 'evaluation': evaluating, 'best': keeping}
    for name in itertools.cycle(
        ['steps', 'checkpoint', 'export', 'evaluation', 'best']
    ):
        if name == 'steps':
            yield name, steps(rng.uniform(0, 2.0))
        else:
            yield name, others.get(name, exporting)


def _kill_at(process, moment, rng):
    """Kills it then, or after a random while; tells whether it was still alive."""
    deadline = time.monotonic() + rng.uniform(20, 30)
    while process.poll() is None and time.monotonic() < deadline and not moment():
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_killed_thirty_times(tmp_path):
    unbroken, directory = tmp_path / 'unbroken', tmp_path / 'killed'
    _unbroken(unbroken)
    rng, killed = random.Random(0), []
    for name, moment in _moments(directory, rng):
        if len(killed) == KILLS:
            break
        if not _kill_at(_start(directory), moment, rng):
            break
        killed.append(name)
    process = _start(directory)
    _, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors
    print('killed at:', killed)
    assert len(killed) == KILLS, 'it was done before: give it more steps'

    assert _lines(directory, 'keys.jsonl') == _lines(unbroken, 'keys.jsonl')
    assert _lines(directory, 'metrics.jsonl') == _lines(unbroken, 'metrics.jsonl')
    last = [weights(tf.train.latest_checkpoint(str(f))) for f in (directory, unbroken)]
    assert last[0] == last[1]

    found = {
        line['step']: line['loss']
        for line in read(directory / 'metrics.jsonl')
        if line['split'] == 'validation'
    }
    assert len(found) == 30
    best = sorted(found, key=found.get)
    assert [entry['step'] for entry in _best(directory / 'best')] == best[:3]
    assert _best(directory / 'export-best')[0]['step'] == best[0]

    wanted = {n: _exported(unbroken / n) for n in ('export', 'export-best')}
    for name, probabilities in wanted.items():
        versions = sorted(n for n in _names(directory / name) if n.isdigit())
        assert versions and not [n for n in _names(directory / name) if 'partial' in n]
        for version in versions:
            tf.saved_model.load(str(directory / name / version))
        np.testing.assert_array_equal(_exported(directory / name), probabilities)


def _lines(directory, name):
    timed = (*TIMED, 'peak_memory_mb')
    return [
        {k: v for k, v in line.items() if k not in timed}
        for line in read(directory / name)
    ]


def _best(directory):
    return json.loads((directory / 'best.json').read_text())['best']


def _exported(directory):
    """What the newest version says of some noise."""
    version = max((n for n in _names(directory) if n.isdigit()), key=int)
    loaded = tf.saved_model.load(str(directory / version))
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1)).astype(np.uint8)
    signature = loaded.signatures['tensor']
    return signature(image=tf.constant(images))['probabilities'].numpy()
