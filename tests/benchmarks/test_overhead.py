"""Tests of benchmarks/overhead.py."""

import json
import subprocess
import sys
import time

import pytest

from benchmarks import overhead
from tests.helpers.launching import ROOT


class Session:
    """Sleeps for the given time."""

    def run(self, fetches, seconds=0.0):
        time.sleep(seconds)
        return fetches


def _call(file, fetches, seconds):
    """Runs a session from a file with this name."""
    code = compile('found = Session().run(fetches, seconds)', f'a/{file}', 'exec')
    names = {'Session': Session, 'fetches': fetches, 'seconds': seconds}
    exec(code, names)
    return names['found']


def test_times_are_summed_by_caller():
    times, step = overhead.Times(), {'caller': 'train_op'}
    begin = time.perf_counter()
    with times.timing(Session):
        _call('saver.py', 'restore', 0.02)  # Before the first step: part of the start.
        _call('monitored_session.py', 'ready', 0.02)
        assert _call('monitored_session.py', step, 0.1) == step
        _call('saver.py', 'save', 0.05)
        _call('evaluator.py', ['updates'], 0.15)
        _call('samples.py', 'image', 0.05)
        _call('monitored_session.py', step, 0.1)
        time.sleep(0.05)
        _call('saver.py', 'restore', 0.2)  # Of the export: part of the end.
    parts = times.parts(begin, time.perf_counter())
    least = dict(zip(overhead.PARTS, (0.04, 0.2, 0.15, 0.05, 0.05, 0.25), strict=True))
    for part, seconds in least.items():
        assert parts[part] >= 0.99 * seconds, part
    assert parts['checkpoints'] < 0.2
    assert sum(parts.values()) == pytest.approx(time.perf_counter() - begin, abs=0.05)
    assert not hasattr(Session.run, '__wrapped__')


def test_overhead_is_relative_to_the_time_between_start_and_end():
    parts = dict.fromkeys(overhead.PARTS, 100.0)
    parts.update(steps=6.0, evaluation=2.0, checkpoints=0.5, rest=1.5)
    assert overhead.overhead(parts) == pytest.approx(0.2)


@pytest.mark.slow
def test_runs_training(tmp_path):
    command = [sys.executable, '-m', 'benchmarks.overhead', '--dataset=digits']
    command += ['--max_steps=20', '--noexport', f'--model_dir={tmp_path}/run']
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    parts = json.loads(done.stdout.splitlines()[-1])
    assert all(parts[part] > 0 for part in ('start', 'steps', 'evaluation', 'rest'))
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 1 and 'new directory' in again.stderr
