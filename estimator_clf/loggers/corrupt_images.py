"""`corrupt_images.jsonl`: the images that a run could not read and skipped."""

import json
import os
import time
from collections.abc import Callable

from input.corrupt_images import CorruptImages
from input.sources.base import DataSource

FILE_NAME = 'corrupt_images.jsonl'


class CorruptImagesLog:
    """Appends corrupt images to a file in the model_dir, and logs them.

    A line is a JSON object: `key`, `reason`, `time` (Unix seconds). Images that an
    earlier process wrote are not written again.
    """

    def __init__(
        self, model_dir: str | None, log: Callable[[str], None], limit: int
    ) -> None:
        """Makes the log; writes nothing yet.

        Args:
          model_dir: directory of the run; until it exists, lines are buffered. None:
            nothing is written.
          log: function of a message for the user.
          limit: maximum number of images to skip.
        """
        self._path = os.path.join(model_dir, FILE_NAME) if model_dir else None
        self._log = log
        self._limit = limit
        self._lines: list[str] = []
        self._count = 0
        self._written = _keys(self._path) if self._path else set()

    def note(self, key: str, reason: str) -> None:
        """Records an image; a callback of `input.corrupt_images.CorruptImages`.

        Args:
          key: of the example.
          reason: why it cannot be read.
        """
        self._count += 1
        if self._count <= self._limit:
            self._log(
                f'Skipped, since it cannot be read: {key}: {reason} ({self._count} '
                f'so far, `max_corrupt_images={self._limit}`)'
            )
        if key not in self._written:
            self._written.add(key)
            line = {'key': key, 'reason': reason, 'time': round(time.time(), 3)}
            self._lines.append(json.dumps(line) + '\n')
        self.flush()

    def flush(self) -> None:
        """Writes the buffered lines, if the directory exists."""
        if self._path is None or not self._lines:
            return
        if os.path.isdir(os.path.dirname(self._path)):
            with open(self._path, 'a', encoding='utf-8') as file:
                file.write(''.join(self._lines))
            self._lines = []


def skip_corrupt_images(
    source: DataSource,
    limit: int,
    log: Callable[[str], None],
    model_dir: str | None = None,
) -> CorruptImagesLog:
    """Makes a source skip, log and count images that cannot be read.

    Args:
      source: the data.
      limit: maximum number of images to skip; with 0 the first is an error.
      log: function of a message for the user.
      model_dir: see `CorruptImagesLog`.

    Returns:
      The log, to be flushed at the end.
    """
    images = CorruptImagesLog(model_dir, log, limit)
    if limit:
        source.corrupt_images = CorruptImages(limit, images.note)
    return images


def _keys(path: str) -> set[str]:
    """Reads the keys in a file; a truncated line is skipped."""
    keys = set()
    if os.path.exists(path):
        with open(path, encoding='utf-8', errors='replace') as file:
            for text in file:
                try:
                    keys.add(json.loads(text)['key'])
                except (ValueError, KeyError, TypeError):
                    continue
    return keys
