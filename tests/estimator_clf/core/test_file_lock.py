"""Locks of directories: a second trainer is refused, a killed one holds none."""

import os
import signal
import subprocess
import sys

import pytest

from estimator_clf.core.errors import ConfigError
from estimator_clf.core.file_lock import DirectoryLock
from tests.helpers.launching import ROOT
from tests.helpers.small_run import run

HOLD = """
import sys, time
from estimator_clf.core.file_lock import DirectoryLock
lock = DirectoryLock(sys.argv[1])
lock.acquire()
print('held', flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Process that holds the lock of tmp_path."""
    process = subprocess.Popen(
        [sys.executable, '-c', HOLD, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline().strip() == 'held'
    yield process
    process.kill()
    process.wait()


def test_second_holder_is_refused_until_the_first_is_killed(holder, tmp_path):
    lock = DirectoryLock(str(tmp_path))
    with pytest.raises(ConfigError, match='`model_dir=.*` is in use'):
        lock.acquire()
    assert os.listdir(tmp_path) == []
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    lock.acquire()
    lock.release()


def test_released_lock_can_be_acquired(tmp_path):
    first, second = DirectoryLock(str(tmp_path)), DirectoryLock(str(tmp_path))
    first.acquire()
    first.acquire()  # Idempotent.
    assert not second.try_acquire()
    with pytest.raises(ConfigError):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_missing_directory_is_not_created(tmp_path):
    lock = DirectoryLock(str(tmp_path / 'new'))
    lock.acquire()
    assert not (tmp_path / 'new').exists()


def test_run_in_a_locked_directory_changes_nothing(holder, tmp_path):
    with pytest.raises(ConfigError, match='in use'):
        run(tmp_path)
    assert os.listdir(tmp_path) == []


def test_resume(tmp_path):
    with pytest.raises(ConfigError, match='`resume=must`'):
        run(tmp_path / 'run', resume='must')
    assert not (tmp_path / 'run').exists()
    run(tmp_path / 'run', resume='never', max_steps=3)
    with pytest.raises(ConfigError, match='`resume=never`'):
        run(tmp_path / 'run', resume='never')
    assert run(tmp_path / 'run', resume='must').step == 14
