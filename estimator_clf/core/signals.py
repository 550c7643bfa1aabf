"""Graceful shutdown on SIGTERM/SIGINT: finish the step, save a checkpoint, stop."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """A request to stop, true once it is made.

    Attributes:
      requested: name of the signal, or another reason; None without a request.
    """

    requested: str | None = None
    _immediately = False

    def __bool__(self) -> bool:
        return self.requested is not None

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

    A second one has its default effect, for users who cannot wait. Does nothing outside
    the main thread, where Python delivers no signals.

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
        yield stop
    finally:
        _restore(before)


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
