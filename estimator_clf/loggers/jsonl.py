"""`metrics.jsonl`: metrics as one JSON object per line."""

import json
import math
import os
import time
from collections.abc import Mapping
from typing import Any

from estimator_clf.core.atomic_files import write_atomically

FILE_NAME = 'metrics.jsonl'


class MetricsLog:
    """Appends metrics to `metrics.jsonl` in a model_dir.

    Each line is flat: `step`, `split` ('train', 'validation', 'test'), `time` (Unix
    seconds), then the metrics; `examples` is the number of examples that they are
    about, `examples/CLASS` that of a class. A number that is not finite is written as
    null.
    """

    def __init__(self, model_dir: str) -> None:
        self._path = os.path.join(model_dir, FILE_NAME)

    def write(self, step: int, split: str, metrics: Mapping[str, float]) -> None:
        """Appends a line."""
        line: dict[str, Any] = {
            'step': int(step),
            'split': split,
            'time': round(time.time(), 3),
        }
        line.update(finite(metrics))
        with open(self._path, 'a', encoding='utf-8') as file:
            # A single write: readers get no partial line of a running process.
            file.write(json.dumps(line) + '\n')

    def read(self) -> list[dict[str, Any]]:
        """Returns the lines; a truncated last line is skipped."""
        return read(self._path)

    def rewind(self, step: int) -> None:
        """Drops the lines about steps after `step`.

        A killed run may have advanced beyond its last checkpoint; those steps are taken
        again.
        """
        if not os.path.exists(self._path):
            return
        kept = [line for line in self.read() if line['step'] <= step]
        write_atomically(self._path, ''.join(json.dumps(line) + '\n' for line in kept))


def finite(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Returns metrics as numbers, None for NaN and infinity, which JSON lacks."""
    return {name: _number(name, value) for name, value in metrics.items()}


def is_count(name: str) -> bool:
    """Returns whether a metric is a number of examples, of all or of one class."""
    return name == 'examples' or name.startswith('examples/')


def without_counts(metrics: Mapping[str, float]) -> dict[str, float]:
    """Returns the metrics that are worth a curve."""
    return {name: value for name, value in metrics.items() if not is_count(name)}


def _number(name: str, value: float) -> float | None:
    if not math.isfinite(value):
        return None
    return int(value) if is_count(name) else float(value)


def read(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Reads the JSON lines of a file that have a step; none if there is no file."""
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
