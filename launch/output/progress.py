"""Progress of a program that goes through a dataset once."""

import sys
import time
from typing import Any


class Progress:
    """A progress bar on a terminal, one plain line per tenth in a log."""

    def __init__(self, unit: str = 'image'):
        """Makes the display; nothing is shown before the first call.

        Args:
          unit: what is counted, in the singular.
        """
        self._unit = unit
        self._bar: Any = None
        self._tenths = 0
        self._start = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Shows how many of all are done."""
        if not sys.stderr.isatty():
            if done * 10 // total > self._tenths:
                self._tenths = done * 10 // total
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
        left = (time.monotonic() - self._start) * (total - done) / done
        return f'{text}, ETA {left:.0f} s'

    def close(self) -> None:
        """Leaves the bar on the terminal; output continues below it."""
        if self._bar is not None:
            self._bar.close()
