"""Explains the end of a process that could not explain it itself, for lack of memory.

Where memory runs out, libraries below Python end the process: a C++ exception that
nothing catches, a null pointer, glibc's exit code 127, or the kernel's SIGKILL. Then no
Python code runs any more. A small process, forked before TensorFlow is loaded, waits
for the end of a pipe, into which `faulthandler` writes when a fatal signal arrives.
"""

import contextlib
import faulthandler
import os
import signal
import threading

# The start of a report of `faulthandler`, followed by the name of the signal.
_FATAL = b'Fatal Python error: '

# glibc, for a thread for which there is no memory.
_NO_THREAD = 127


def install(remedies: str) -> None:
    """Starts the process that waits; does nothing where it is impossible.

    Args:
      remedies: what takes less memory, for the message.
    """
    if (
        not hasattr(os, 'fork')
        or faulthandler.is_enabled()  # Its report goes elsewhere already.
        or threading.active_count() > 1
    ):
        return
    with contextlib.suppress(OSError):
        reader, writer = os.pipe()
        process = os.getpid()
        if os.fork() == 0:
            try:
                os.close(writer)
                _wait(reader, process, remedies)
            finally:
                os._exit(0)
        os.close(reader)
        faulthandler.enable(writer, all_threads=False)


def _wait(reader: int, process: int, remedies: str) -> None:
    # Ctrl-C reaches all processes of a terminal.
    os.setsid()
    # A reader of standard output must not wait for this process.
    with open(os.devnull, 'r+b', buffering=0) as null:
        os.dup2(null.fileno(), 0)
        os.dup2(null.fileno(), 1)
    report = b''
    while part := os.read(reader, 4096):
        report += part
    cause = _cause(report, process)
    if cause:
        text = f'error: {cause}, as happens when memory runs out; use {remedies}\n'
        os.write(2, os.fsencode(text))


def _cause(report: bytes, process: int) -> str | None:
    """Returns what ended a process, None unless lack of memory is a likely reason."""
    if report.startswith(_FATAL):
        name = report[len(_FATAL) :].splitlines()[0].decode('ascii', 'replace')
        return f'crashed in native code ({name}; PYTHONFAULTHANDLER=1 shows where)'
    status = _exit_status(process)
    if status == signal.SIGKILL:
        return 'killed (SIGKILL)'
    return 'no thread can be started' if status == _NO_THREAD << 8 else None


def _exit_status(process: int) -> int | None:
    """Returns the wait status of a process that is ending; None if it is unknown.

    Linux only, and only until its parent has asked for it.
    """
    try:
        with open(f'/proc/{process}/stat', 'rb') as file:
            return int(file.read().split()[-1])
    except (OSError, ValueError, IndexError):
        return None
