"""Tests of processes that are started from a directory full of other modules."""

import multiprocessing
import os
import subprocess
import sys

import pytest

from estimator_clf.core import spawn

NAMES = ('random', 'runpy', 'multiprocessing', 'estimator_clf', 'socket')


@pytest.fixture
def clutter(tmp_path, monkeypatch):
    """A current directory with modules that end every process."""
    for name in NAMES:
        (tmp_path / f'{name}.py').write_text('raise SystemExit(77)')
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize('safe', ['', '1'])
def test_a_module_does_not_see_the_current_directory(clutter, safe):
    done = subprocess.run(
        spawn.module_command('estimator_clf.core.spawn'),
        env={**spawn.module_environment(), 'PYTHONSAFEPATH': safe},
        timeout=60,
    )
    assert done.returncode == 0


def test_a_worker_sees_neither_the_current_directory_nor_the_main_module(clutter):
    main, path = sys.modules['__main__'], list(sys.path)
    context = multiprocessing.get_context('spawn')
    with spawn.isolated_workers():
        process = context.Process(target=os.getpid)
        process.start()
    process.join(60)
    assert process.exitcode == 0
    assert sys.modules['__main__'] is main and sys.path == path
    assert 'PYTHONSAFEPATH' not in os.environ
