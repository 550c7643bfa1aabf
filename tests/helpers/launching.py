"""Runs the programs as a user does: `python -m launch.…`, in a process of its own."""

import atexit
import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from tests.helpers import fork_server

ROOT = str(pathlib.Path(__file__).resolve().parents[2])


@functools.cache
def _fork_server():
    server = fork_server.ForkServer(ROOT)
    atexit.register(server.close)
    return server


def start_parity_check(environment):
    """Starts a parity check as a fork; see `parity_check.start_process`."""
    return fork_server.ParityCheck(_fork_server().path, environment)


def launch(program, *arguments, timeout=300, **kwargs):
    """Runs a program to its end, in a process of its own.

    Without further arguments the process is a fork of one that has imported
    TensorFlow, see fork_server.py; with `env`, for instance, it starts from nothing.

    Args:
      program: such as 'train'.
      *arguments: of the command line.
      timeout: seconds.
      **kwargs: of `subprocess.run`.

    Returns:
      `subprocess.CompletedProcess` with text in stdout and stderr.
    """
    line = command(program, *arguments)
    if kwargs or not hasattr(os, 'fork'):
        return subprocess.run(
            line, cwd=ROOT, capture_output=True, text=True, timeout=timeout, **kwargs
        )
    with (
        tempfile.TemporaryFile('w+', encoding='utf-8', errors='replace') as stdout,
        tempfile.TemporaryFile('w+', encoding='utf-8', errors='replace') as stderr,
        open(os.devnull) as stdin,
    ):
        files = stdin.fileno(), stdout.fileno(), stderr.fileno()
        running = _fork_server().run(f'launch.{program}', arguments, *files)
        code = running.wait(timeout)
        texts = []
        for file in (stdout, stderr):
            file.seek(0)
            texts.append(file.read())
    return subprocess.CompletedProcess(line, code, *texts)


def run_program(text, directory=ROOT, timeout=300):
    """Runs a Python program in a process of its own, which finds our packages.

    Args:
      text: of the program.
      directory: where it runs.
      timeout: seconds.

    Returns:
      What it prints; that it ends well is asserted.
    """
    done = subprocess.run(
        [sys.executable, '-c', text],
        cwd=directory,
        env={**os.environ, 'PYTHONPATH': ROOT},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def benchmark(name, *arguments, timeout=300):
    """Runs `python -m benchmarks.NAME`; that it ends well is asserted.

    Args:
      name: of the program.
      *arguments: of the command line.
      timeout: seconds.

    Returns:
      What it prints.
    """
    done = subprocess.run(
        [sys.executable, '-m', f'benchmarks.{name}', *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def command(program, *arguments):
    """Returns the command line of a program as a list."""
    return [sys.executable, '-m', f'launch.{program}', *map(str, arguments)]


def lines(path):
    """Reads a file of JSON lines."""
    with open(path, encoding='utf-8') as file:
        return [json.loads(line) for line in file]


# A run that takes few seconds after TensorFlow's import.
SMALL = (
    '--dataset=digits',
    '--network=linear',
    '--optimizer=adam',
    '--learning_rate=0.01',
    '--batch_size=64',
)
