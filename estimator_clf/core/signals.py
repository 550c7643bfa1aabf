"""Graceful shutdown on SIGTERM/SIGINT: finish the step, save a checkpoint, stop."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

# Seconds that a blocked main thread has to handle a signal that should end it at once.
_GRACE = 10.0


class Stop:
    """A request to stop, true once it is made.

    Attributes:
      requested: name of the signal, or another reason; None without a request.
    """

    requested: str | None = None
    _immediately = False

    def __bool__(self) -> bool:
        return self.requested is not None

    @property
    def immediate(self) -> bool:
        """Whether a request ends the running block, see `raise_immediately`."""
        return self._immediately

    @contextlib.contextmanager
    def raise_immediately(self) -> Iterator[None]:
        """Lets a request end the block with `Stopped`: there is nothing to save yet."""
        self._immediately = True
        try:
            if self:  # Requested before the block.
                raise Stopped(self.requested)
            yield
            if self:  # An exception raised in a destructor is lost.
                raise Stopped(self.requested)
        finally:
            self._immediately = False

    def request(self, name: str) -> None:
        """Makes the request; see `raise_immediately`."""
        self.requested = name
        if self._immediately:
            raise Stopped(name)


class Stopped(BaseException):
    """A signal ended a block that had nothing to save; not an error."""


@contextlib.contextmanager
def on_signals() -> Iterator[Stop]:
    """Turns the first SIGTERM or SIGINT inside the block into a request to stop.

    A second one has its default effect, for users who cannot wait; if Python cannot
    handle it, since an operation of TensorFlow is running, the process ends after some
    seconds. Does nothing outside the main thread, where Python delivers no signals.

    Yields:
      The request.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def handle(number, frame):
        del frame
        _restore(before)
        stop.request(signal.Signals(number).name)

    for number in _SIGNALS:
        signal.signal(number, handle)
    try:
        with _watch_for_blocked_thread(stop):
            yield stop
    finally:
        _restore(before)


@contextlib.contextmanager
def _watch_for_blocked_thread(stop):
    """Ends the process where the main thread does not handle signals in time.

    Python calls handlers between bytecodes of the main thread: during a `session.run`
    of a minute no signal has an effect. The kernel writes each signal into a pipe.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    if before != -1:  # Of an event loop, which handles signals its own way.
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)
        yield
        return
    ended = threading.Event()

    def watch():
        numbers = []
        while data := os.read(reader, 64):
            numbers += [n for n in data if n in _SIGNALS]
            if len(numbers) == 1 and not stop.immediate:
                # It waits for the end of a step, since there is something to save.
                if not ended.wait(_GRACE) and not stop:
                    os.write(2, b'Finishing a long step; a second signal ends it.\n')
            elif numbers and not ended.wait(_GRACE):
                os.write(2, b'error: a running operation ignores signals; ending\n')
                os._exit(128 + numbers[-1])
        os.close(reader)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(-1)
        os.close(writer)


class StopHook(tf.compat.v1.train.SessionRunHook):
    """Ends the training after the step in which a stop was requested.

    The session then ends as at its last step: hooks that save at the end save.

        with signals.on_signals() as stop:
            est.train(input_fn, hooks=[signals.StopHook(stop)])
    """

    def __init__(
        self, stop: Stop, on_stop: Callable[[str], None] | None = None
    ) -> None:
        """Makes the hook.

        Args:
          stop: the request.
          on_stop: function (name of the signal), called once; not in the signal
            handler, which may interrupt a write.
        """
        self._stop = stop
        self._on_stop = on_stop

    def after_run(self, run_context: Any, run_values: Any) -> None:
        if self._stop:
            run_context.request_stop()
            if self._on_stop and self._stop.requested:
                self._on_stop(self._stop.requested)


def _restore(handlers):
    for number, handler in handlers.items():
        # None: it was not set by Python, and cannot be restored by it.
        if handler is not None:
            signal.signal(number, handler)
