"""SIGTERM and SIGINT as a wish: finish the step, save, and stop."""

import contextlib
import signal
import threading

import tensorflow as tf

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Whether the process has been asked to stop, and by what.

    Attributes:
      requested: name of the signal, or None.
    """

    requested: str | None = None
    _at_once = False

    def __bool__(self):
        return self.requested is not None

    @contextlib.contextmanager
    def raise_immediately(self):
        """Where nothing is to be saved yet: a wish ends the block by `Stopped`."""
        self._at_once = True
        try:
            if self:  # It came before.
                raise Stopped(self.requested)
            yield
            if self:  # What is raised in a destructor is lost.
                raise Stopped(self.requested)
        finally:
            self._at_once = False

    def request(self, name):
        """Takes the wish of a signal; see `raise_immediately`."""
        self.requested = name
        if self._at_once:
            raise Stopped(name)


class Stopped(BaseException):
    """A signal has ended what had nothing to save yet; not an error."""


@contextlib.contextmanager
def on_signals():
    """Turns the first SIGTERM or SIGINT inside the block into a wish.

    A second one acts as it does without this: for somebody who cannot wait. Does
    nothing outside of the main thread, where Python gives no signals.

    Yields:
      `Stop`, true from then on.
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
    """Ends the training after the step during which the wish came.

    The session then ends as at its last step: hooks that save at the end save.

        with stopping.on_signals() as stop:
            est.train(input_fn, hooks=[stopping.StopHook(stop)])
    """

    def __init__(self, stop, told=None):
        """Makes the hook.

        Args:
          stop: `Stop`.
          told: function (name of the signal), called once. From here, not from the
            signal handler, which may have interrupted somebody who was writing.
        """
        self._stop = stop
        self._told = told

    def after_run(self, run_context, run_values):
        if self._stop:
            run_context.request_stop()
            if self._told:
                self._told(self._stop.requested)


def _restore(handlers):
    for number, handler in handlers.items():
        # None: it was set outside of Python, and cannot be set again from here.
        if handler is not None:
            signal.signal(number, handler)
