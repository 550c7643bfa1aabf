"""Profiles a range of training steps for TensorBoard."""

from collections.abc import Callable
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from estimator_clf.hooks.base import StepHook


class ProfileHook(StepHook):
    """Records the activity of each device and thread in a range of steps.

    TensorFlow's ProfilerHook writes a timeline that TensorBoard does not show; this
    hook writes `plugins/profile/`, which TensorBoard's profile plugin opens.
    """

    def __init__(
        self,
        directory: str,
        first: int,
        last: int,
        log: Callable[[str], None] | None = None,
    ) -> None:
        """Makes the hook.

        Args:
          directory: log directory for TensorBoard.
          first: first recorded step, counted from 1; a run that is resumed after it
            records the rest of the range.
          last: last recorded step.
          log: function of a text; receives where the recording is, or why there is
            none.
        """
        self._directory = directory
        self._first, self._last = first, last
        self._log = log or (lambda text: None)
        self._recording = False
        self._trace: Any = None

    def on_start(self, session: tf.compat.v1.Session) -> None:
        if self.step >= self._last:
            self._log(
                f'`profile`: no recording, as step {self._last} is already in the past'
            )

    def before_run(self, run_context: Any) -> Any:
        step = self.step + 1
        if not self._recording and self._first <= step <= self._last:
            self._start()
        if self._recording:
            # The plugin separates steps by these traces.
            self._trace = tf.profiler.experimental.Trace('train', step_num=step, _r=1)
            self._trace.__enter__()

    def after_step(self, run_context: Any, results: Any) -> None:
        if not self._recording:
            return
        self._end_trace()
        if self.step >= self._last:
            self._stop()

    def end(self, session: tf.compat.v1.Session) -> None:
        if self._recording:
            self._end_trace()
            self._stop()

    def _end_trace(self):
        if self._trace is not None:
            self._trace.__exit__(None, None, None)
            self._trace = None

    def _start(self):
        try:
            tf.profiler.experimental.start(self._directory)
        except tf.errors.AlreadyExistsError:
            # An earlier training in this process raised an error while recording.
            tf.profiler.experimental.stop(save=False)
            tf.profiler.experimental.start(self._directory)
        self._recording = True

    def _stop(self):
        self._recording = False
        tf.profiler.experimental.stop()
        self._log(
            f'`profile`: steps recorded; to view them, run `pip install xprof` and '
            f'`tensorboard --logdir {self._directory}`, and open Profile'
        )
