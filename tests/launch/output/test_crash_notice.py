"""Ends of processes that no Python code can explain."""

import signal
import subprocess
import sys
import textwrap

import pytest

from tests.helpers.launching import ROOT

PROGRAM = """
    import os, sys, time
    sys.argv = ['program']
    from launch import app
    def main(arguments):
        {}
    app.run(main, lambda: '')
"""


def _run(body):
    return subprocess.run(
        [sys.executable, '-c', textwrap.dedent(PROGRAM.format(body))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='reads /proc')
@pytest.mark.parametrize(
    'body,code,words',
    [
        ('os.abort()', -signal.SIGABRT, 'crashed in native code (Aborted;'),
        ('os.kill(os.getpid(), 11)', -signal.SIGSEGV, '(Segmentation fault;'),
        ('os._exit(127)', 127, 'no thread can be started'),
        ('os.kill(os.getpid(), 9)', -signal.SIGKILL, 'killed (SIGKILL)'),
    ],
)
def test_crash_is_explained_in_one_sentence(body, code, words):
    done = _run(body)
    assert done.returncode == code
    assert words in done.stderr and 'as happens when memory runs out' in done.stderr
    assert done.stderr.count('\n') == 1 and done.stdout == ''


@pytest.mark.parametrize(
    'body,code',
    [('return 3', 3), ('os._exit(0)', 0), ('os.kill(os.getpid(), 15)', -15)],
)
def test_other_ends_add_nothing(body, code):
    done = _run(body)
    assert (done.returncode, done.stderr) == (code, '')


@pytest.mark.parametrize(
    'body',
    [
        'raise MemoryError',
        'raise RuntimeError("can\'t start new thread")',
        'raise ImportError("libx.so: failed to map segment from shared object")',
        'raise OSError(12, os.strerror(12))',
    ],
)
def test_out_of_memory_is_one_sentence(body):
    done = _run(body)
    assert done.returncode == 1
    assert done.stderr.startswith('error: out of memory; use ')
    assert done.stderr.count('\n') == 1


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='needs RLIMIT_AS')
def test_limit_below_what_tensorflow_needs_is_refused_at_once():
    done = _run(
        'import resource; resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30)); '
        'app.check_memory_limit()'
    )
    assert done.returncode == 1
    assert done.stderr.startswith('error: `ulimit -v` must be at least 2 GB')
