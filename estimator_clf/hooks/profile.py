"""A recording of some steps for TensorBoard's profiler."""

import tensorflow as tf

from estimator_clf.hooks.base import StepHook


class ProfileHook(StepHook):
    """Records what each device and thread does from one step to another.

    TensorFlow's ProfilerHook writes a timeline that TensorBoard does not show; this one
    writes `plugins/profile/`, which its profile plugin opens.
    """

    def __init__(self, directory, first, last, tell=None):
        """Makes the hook.

        Args:
          directory: the run's, for TensorBoard.
          first: first step that is recorded, counted from 1; a run that is resumed
            behind it records what is left.
          last: last step that is recorded.
          tell: function of a text, told where the recording is, or why there is none.
        """
        self._directory = directory
        self._first, self._last = first, last
        self._tell = tell or (lambda text: None)
        self._recording, self._span = False, None

    def on_start(self, session):
        if self.step >= self._last:
            self._tell(
                f'`profile`: step {self._last} is over already; there is no recording'
            )

    def before_run(self, run_context):
        step = self.step + 1
        if not self._recording and self._first <= step <= self._last:
            self._start()
        if self._recording:
            # By these spans the plugin tells one step from the next.
            self._span = tf.profiler.experimental.Trace('train', step_num=step, _r=1)
            self._span.__enter__()

    def after_step(self, run_context, results):
        if not self._recording:
            return
        self._leave()
        if self.step >= self._last:
            self._stop()

    def end(self, session):
        if self._recording:
            self._leave()
            self._stop()

    def _leave(self):
        if self._span is not None:
            self._span.__exit__(None, None, None)
            self._span = None

    def _start(self):
        try:
            tf.profiler.experimental.start(self._directory)
        except tf.errors.AlreadyExistsError:
            # An earlier training of this process has ended by an error while recording.
            tf.profiler.experimental.stop(save=False)
            tf.profiler.experimental.start(self._directory)
        self._recording = True

    def _stop(self):
        self._recording = False
        tf.profiler.experimental.stop()
        self._tell(
            f'`profile`: steps recorded; see them by `pip install xprof` and '
            f'`tensorboard --logdir {self._directory}`, under Profile'
        )
