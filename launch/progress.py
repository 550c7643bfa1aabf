"""How far a program is that goes through a dataset once."""

import sys
import time


class Progress:
    """A progress bar on a terminal, a plain line per tenth in a log."""

    def __init__(self, unit='image'):
        """Makes it; nothing is shown before the first call.

        Args:
          unit: what is counted, in the singular.
        """
        self._unit = unit
        self._bar = None
        self._said = 0
        self._begin = time.monotonic()

    def __call__(self, done, total):
        """Takes how many are done, of how many."""
        if not sys.stderr.isatty():
            if done * 10 // total > self._said:
                self._said = done * 10 // total
                print(self._line(done, total), file=sys.stderr, flush=True)
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit=self._unit, dynamic_ncols=True)
        self._bar.update(done - self._bar.n)

    def _line(self, done, total):
        text = f'{done}/{total} {self._unit}s'
        if done == total:
            return text
        left = (time.monotonic() - self._begin) * (total - done) / done
        return f'{text}, ETA {left:.0f} s'

    def close(self):
        """Leaves the bar as it is and goes on below it."""
        if self._bar is not None:
            self._bar.close()
