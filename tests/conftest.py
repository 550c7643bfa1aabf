"""What all tests need of their process."""

import os
import signal
import threading

import pytest

# A shell's job in the background (`make test &`, some CI machines) ignores SIGINT, and
# so would every process that a test starts and interrupts.
if threading.current_thread() is threading.main_thread():
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)  # Not with `-p no:xdist`.
def pytest_xdist_auto_num_workers(config):
    """One more than there are cores: a test that waits for a process uses none."""
    del config
    return (os.cpu_count() or 1) + 1
