"""Starts programs as processes that have TensorFlow imported already.

Importing TensorFlow takes seconds, and most tests of a program need a process of its
own only for its command line, output and exit code. The server imports TensorFlow and
our libraries once, without using them; each program then runs in a fork, as the main
module of a process of its own: it has its own flags, output, signals and exit code.

Tests of the start of a process itself (environment variables, import time, `-X`
options) use `subprocess`.

The parity check of an export, too, starts a process that imports TensorFlow. With
`start_parity_check` it is a fork, for the tests whose subject is not that process.
"""

import array
import atexit
import contextlib
import functools
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
import warnings


class ForkServer:
    """Client of a server process; one per test process."""

    def __init__(self, root):
        """Starts the server.

        Args:
          root: directory in which it and the programs run.
        """
        self._directory = tempfile.TemporaryDirectory()
        self._path = os.path.join(self._directory.name, 'socket')
        self._process = subprocess.Popen(
            [sys.executable, '-m', __name__, self._path],
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        self._process.stdout.readline()  # It listens.

    @property
    def path(self):
        """Path of its socket."""
        return self._path

    def run(self, module, arguments, stdin, stdout, stderr):
        """Starts a program; see `run`."""
        return run(self._path, module, arguments, stdin, stdout, stderr)

    def close(self):
        """Ends the server."""
        self._process.kill()
        self._process.wait()
        self._directory.cleanup()


def run(path, module, arguments, stdin, stdout, stderr, environment=None, cwd=None):
    """Starts a program.

    Args:
      path: of the server's socket.
      module: name of the module to run as `__main__`.
      arguments: its command line.
      stdin: file descriptor.
      stdout: file descriptor.
      stderr: file descriptor.
      environment: environment variables that differ from the server's.
      cwd: its current directory; None: the server's.

    Returns:
      `Program`.
    """
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.connect(path)
    blocked = list(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ())))
    request = [module, list(map(str, arguments)), environment or {}, cwd, blocked]
    socket.send_fds(
        client, [json.dumps(request).encode() + b'\n'], [stdin, stdout, stderr]
    )
    return Program(client)


class Program:
    """A running program.

    Attributes:
      pid: its process id.
    """

    def __init__(self, client):
        self._client = client
        self._replies = client.makefile('r')
        self.pid = int(self._replies.readline())

    def wait(self, timeout):
        """Returns the exit code; -N after signal N.

        Args:
          timeout: seconds, after which it is killed and TimeoutError raised.
        """
        self._client.settimeout(timeout)
        try:
            return int(self._replies.readline())
        except TimeoutError:
            os.kill(self.pid, signal.SIGKILL)
            raise
        finally:
            self._replies.close()
            self._client.close()


class ParityCheck:
    """A started parity check, with the methods of `subprocess.Popen` that it needs.

    Args:
      path: of the server's socket.
      environment: environment variables of the process.
    """

    def __init__(self, path, environment):
        self.returncode = None
        self._streams = [tempfile.TemporaryFile() for _ in range(2)]
        stdin, self._stdin = os.pipe()
        files = stdin, *(stream.fileno() for stream in self._streams)
        changed = {k: v for k, v in environment.items() if os.environ.get(k) != v}
        module = 'estimator_clf.export.parity_check'
        self._program = run(path, module, ['-'], *files, changed, os.getcwd())
        os.close(stdin)

    def communicate(self, data=b'', timeout=None):
        """Writes to its standard input; returns what it printed when it has ended."""
        if self.returncode is None:
            with contextlib.suppress(BrokenPipeError), open(self._stdin, 'wb') as file:
                file.write(data)
            self.returncode = self._program.wait(timeout)
        for stream in self._streams:
            stream.seek(0)
        return [stream.read() for stream in self._streams]

    def kill(self):
        """Ends it."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._program.pid, signal.SIGKILL)


def _serve(path):
    import estimator_clf.compat  # noqa: F401

    import estimator_clf.training.trainer  # noqa: F401
    from estimator_clf.export import parity_check

    parity_check.start_process = functools.partial(ParityCheck, path)

    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path)
    server.listen(64)
    # Objects of the parent are not collected, and so not copied, in the children.
    gc.freeze()
    print('ready', flush=True)
    while True:
        connection, _ = server.accept()
        # A process of its own waits for the program, so that the server can accept.
        if os.fork() == 0:
            server.close()
            _supervise(connection)
        connection.close()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _supervise(connection):
    """Forks the program, and reports its process id and its exit code."""
    message, files, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    while not message.endswith(b'\n'):
        message += connection.recv(1 << 20)
    module, arguments, environment, cwd, blocked = json.loads(message)
    pid = os.fork()
    if pid == 0:
        connection.close()
        os.setsid()  # A signal for the group of the tests is not for it.
        os.environ.update(environment)
        os.chdir(cwd or '.')
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for target, source in enumerate(array.array('i', files)):
            os.dup2(source, target)
        os.closerange(3, 256)
        _run(module, arguments)
    for file in files:
        os.close(file)
    connection.sendall(f'{pid}\n'.encode())
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(f'{os.waitstatus_to_exitcode(status)}\n'.encode())
    os._exit(0)


def _run(module, arguments):
    """Runs a module as `python -m` does, and exits."""
    code = 1
    # What this process inherited are the server's; at exit they would be flushed again.
    sys.stdin = open(0, closefd=False)
    sys.stdout = open(1, 'w', closefd=False)
    sys.stderr = open(2, 'w', buffering=1, closefd=False)
    sys.argv = [module, *arguments]
    # That it is imported already is intended.
    warnings.filterwarnings('ignore', category=RuntimeWarning, module='runpy')
    try:
        runpy.run_module(module, run_name='__main__', alter_sys=True)
        code = 0
    except SystemExit as error:
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
        code = (
            error.code if isinstance(error.code, int) else int(error.code is not None)
        )
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == '__main__':
    _serve(sys.argv[1])
