"""`metrics.jsonl`: one JSON object a line, for people and scripts."""

import json
import math
import os
import time

from estimator_clf.core.atomic_files import write_atomically

FILE_NAME = 'metrics.jsonl'


class MetricsLog:
    """Appends to `metrics.jsonl` of a model_dir.

    Each line is flat: `step`, `split` ('train', 'validation', 'test'), `time` (Unix
    seconds), then the metrics. A number that is not finite is written as null.
    """

    def __init__(self, model_dir):
        self._path = os.path.join(model_dir, FILE_NAME)

    def write(self, step, split, metrics):
        """Adds a line.

        Args:
          step: int.
          split: str.
          metrics: dict name -> number.
        """
        line = {'step': int(step), 'split': split, 'time': round(time.time(), 3)}
        line.update(finite(metrics))
        with open(self._path, 'a', encoding='utf-8') as file:
            # One write: a reader never sees half a line of a process that lives.
            file.write(json.dumps(line) + '\n')

    def read(self):
        """Returns the lines as dicts; a last line that was cut short is left out."""
        return read(self._path)

    def rewind(self, step):
        """Drops what was written about steps later than `step`.

        A killed run may have got further than its last checkpoint; it will come by
        those steps once more.
        """
        if not os.path.exists(self._path):
            return
        kept = [line for line in self.read() if line['step'] <= step]
        write_atomically(self._path, ''.join(json.dumps(line) + '\n' for line in kept))


def finite(metrics):
    """Returns metrics as floats, None for NaN and infinity: JSON has no word for them.

    Args:
      metrics: dict name -> number.
    """
    return {
        name: float(value) if math.isfinite(value) else None
        for name, value in metrics.items()
    }


def read(path):
    """Reads a file of JSON lines about steps; no file is no lines."""
    lines = []
    if os.path.exists(path):
        with open(path, encoding='utf-8', errors='replace') as file:
            for text in file:
                try:
                    line = json.loads(text)
                except json.JSONDecodeError:
                    continue
                if isinstance(line, dict) and 'step' in line:
                    lines.append(line)
    return lines
