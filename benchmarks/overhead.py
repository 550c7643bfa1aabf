"""Breakdown of the time of a run: computing, waiting for data, overhead.

    python -m benchmarks.overhead --model_dir=RUN --flagfile=… --data_dir=…

Takes the flags of `launch.train` and runs it, in a new directory; then prints the time
of

    start        imports, data, graph, initial weights, up to the first step
    steps        training steps, including waiting for their images
    evaluation   evaluation batches, including waiting
    checkpoints  reading and writing by TensorFlow
    rest         hooks, summaries, the log, set-up of evaluations
    end          the export and its check

The time inside `session.run` for a step or a batch counts as computing or waiting.
Overhead is the share of checkpoints and rest in the time between start and end.
"""

import contextlib
import functools
import json
import os
import sys
import time

BEGIN = time.perf_counter()

# File of the caller of a session -> part of the time; other callers are the rest.
_CALLERS = {
    'monitored_session.py': 'steps',
    'evaluator.py': 'evaluation',
    'saver.py': 'checkpoints',
}
PARTS = ('start', 'steps', 'evaluation', 'checkpoints', 'rest', 'end')


class Times:
    """Sums the time inside sessions, by caller.

    Attributes:
      inside: dict of `_CALLERS`' values -> seconds, from the first step on.
      first: start of the first step; None before.
      last: end of the last step or evaluation.
    """

    def __init__(self):
        self.inside = dict.fromkeys(_CALLERS.values(), 0.0)
        self.first = self.last = None
        self._checkpoints = 0.0  # Seconds since `last`, possibly of the end.

    def parts(self, begin, end):
        """Returns dict of `PARTS` -> seconds of a process.

        Args:
          begin: its start.
          end: its end.
        """
        between = self.last - self.first
        found = {'start': self.first - begin, 'end': end - self.last, **self.inside}
        found['rest'] = between - sum(self.inside.values())
        return {part: found[part] for part in PARTS}

    @contextlib.contextmanager
    def timing(self, session):
        """Times the calls of a class of sessions.

        Args:
          session: the class, with a method `run`.
        """
        run = session.run

        @functools.wraps(run)
        def timed(this, fetches, *args, **more):
            kind = _CALLERS.get(_caller())
            # Before the loop, a monitored session initializes variables.
            if kind == 'steps' and not _is_step(fetches):
                kind = None
            begin = time.perf_counter()
            if kind == 'steps' and self.first is None:
                self.first = begin
            try:
                return run(this, fetches, *args, **more)
            finally:
                self._note(kind, begin, time.perf_counter())

        session.run = timed
        try:
            yield self
        finally:
            session.run = run

    def _note(self, kind, begin, end):
        if self.first is None or kind is None:
            return
        if kind == 'checkpoints':
            # Possibly read for the export, which is part of the end.
            self._checkpoints += end - begin
            return
        self.inside[kind] += end - begin
        self.inside['checkpoints'] += self._checkpoints
        self._checkpoints, self.last = 0.0, end


def overhead(parts):
    """Returns the overhead as a share of the time between start and end."""
    lost = parts['checkpoints'] + parts['rest']
    return lost / (lost + parts['steps'] + parts['evaluation'])


def main(arguments):
    """Runs training and prints the breakdown of its time."""
    from launch import flags, train

    if os.path.exists(
        os.path.join(flags.config_from_flags().run.model_dir, 'checkpoint')
    ):
        sys.exit('--model_dir must be a new directory: a resumed run has no start')
    from estimator_clf.compat import estimator  # noqa: F401  Silences TensorFlow.

    from tensorflow.python.client import session

    times = Times()
    with times.timing(session.BaseSession):
        code = train.main(arguments)
    parts = times.parts(BEGIN, time.perf_counter())
    print(f'\n{"part":12} {"seconds":>9}')
    for part, seconds in parts.items():
        print(f'{part:12} {seconds:9.2f}')
    print(f'overhead: {overhead(parts):.2%} of the time between start and end')
    print(json.dumps(parts))
    return code


def _caller():
    """Name of the file that called the session."""
    return os.path.basename(sys._getframe(2).f_code.co_filename)


def _is_step(fetches):
    return isinstance(fetches, dict) and 'caller' in fetches


if __name__ == '__main__':
    from launch import app as launch_app
    from launch import flags as launch_flags

    launch_flags.define_config()
    launch_app.run(main, lambda: __doc__)
