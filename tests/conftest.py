"""What all tests need of their process."""

import signal
import threading

# A shell's job in the background (`make test &`, some CI machines) ignores SIGINT, and
# so would every process that a test starts and interrupts.
if threading.current_thread() is threading.main_thread():
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
