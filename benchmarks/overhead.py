"""Where the time of a training goes: computing, waiting for data, and all the rest.

    python -m benchmarks.overhead --model_dir=RUN --flagfile=… --data_dir=…

Takes the flags of `launch.train`, and does what that does with them, in a directory
that
is not there yet; then prints how long

    start        took: imports, data, graph, the first weights, up to the first step
    steps        of training computed, or waited for their images
    evaluation   computed, or waited
    checkpoints  were read and written by TensorFlow
    the rest     took: hooks, summaries, the log, the evaluations' set-up
    end          took: the export and its check

What a session runs for a step or a batch counts as computing or waiting. Overhead is
the share of checkpoints and the rest in what lies between start and end.
"""

import contextlib
import functools
import json
import os
import sys
import time

BEGIN = time.perf_counter()

# Who calls a session -> what for; anything else belongs to the rest.
_CALLERS = {
    'monitored_session.py': 'steps',
    'evaluator.py': 'evaluation',
    'saver.py': 'checkpoints',
}
PARTS = ('start', 'steps', 'evaluation', 'checkpoints', 'rest', 'end')


class Times:
    """Adds up the time inside of sessions, by who calls them.

    Attributes:
      inside: dict of `_CALLERS`' values -> seconds, from the first step on.
      first: when the first step began; None before.
      last: when the last step or evaluation ended.
    """

    def __init__(self):
        self.inside = dict.fromkeys(_CALLERS.values(), 0.0)
        self.first = self.last = None
        self._checkpoints = 0.0  # Seconds since `last`, which may be of the end.

    def parts(self, begin, end):
        """Returns dict of `PARTS` -> seconds of a process that ran from begin to end.

        Args:
          begin: when it began.
          end: when it ended.
        """
        between = self.last - self.first
        found = {'start': self.first - begin, 'end': end - self.last, **self.inside}
        found['rest'] = between - sum(self.inside.values())
        return {part: found[part] for part in PARTS}

    @contextlib.contextmanager
    def watching(self, session):
        """Watches a class of sessions.

        Args:
          session: the class, with a method `run`.
        """
        run = session.run

        @functools.wraps(run)
        def timed(this, fetches, *args, **more):
            kind = _CALLERS.get(_caller())
            # Before the loop, a monitored session sets the variables up.
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
            # It may be read for the export, which belongs to the end.
            self._checkpoints += end - begin
            return
        self.inside[kind] += end - begin
        self.inside['checkpoints'] += self._checkpoints
        self._checkpoints, self.last = 0.0, end


def overhead(parts):
    """Returns the share of the time between start and end that is overhead."""
    lost = parts['checkpoints'] + parts['rest']
    return lost / (lost + parts['steps'] + parts['evaluation'])


def main(arguments):
    """Runs a training and prints where its time went."""
    from launch import flags, train

    if os.path.exists(os.path.join(flags.config_from_flags().model_dir, 'checkpoint')):
        sys.exit('--model_dir must be a new directory: a run that goes on has no start')
    from estimator_clf.compat import estimator  # noqa: F401  Loads it quietly.

    from tensorflow.python.client import session

    times = Times()
    with times.watching(session.BaseSession):
        code = train.main(arguments)
    parts = times.parts(BEGIN, time.perf_counter())
    print(f'\n{"part":12} {"seconds":>9}')
    for part, seconds in parts.items():
        print(f'{part:12} {seconds:9.2f}')
    print(f'overhead: {overhead(parts):.2%} of what lies between start and end')
    print(json.dumps(parts))
    return code


def _caller():
    """Name of the file that called the session, outside of this one."""
    return os.path.basename(sys._getframe(2).f_code.co_filename)


def _is_step(fetches):
    return isinstance(fetches, dict) and 'caller' in fetches


if __name__ == '__main__':
    from launch import app as launch_app
    from launch import flags as launch_flags

    launch_flags.define_config()
    launch_app.run(main, lambda: __doc__)
