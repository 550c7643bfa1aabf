"""`corrupt_images.jsonl`: the images that a run could not read, and left out."""

import json
import os
import time

FILE_NAME = 'corrupt_images.jsonl'


class CorruptImagesLog:
    """Notes each such image in the model_dir, and tells of it.

    A line is a JSON object: `key`, `reason`, `time` (Unix seconds). What a line of an
    earlier process names gets no second one.
    """

    def __init__(self, model_dir, tell, limit):
        """Makes the log; writes nothing yet.

        Args:
          model_dir: directory of the run; while it is not there, lines are kept back.
            None: nothing is written.
          tell: function of a text for a person.
          limit: how many may be left out.
        """
        self._path = os.path.join(model_dir, FILE_NAME) if model_dir else None
        self._tell = tell
        self._limit = limit
        self._lines = []
        self._count = 0
        self._known = _keys(self._path) if model_dir else set()

    def note(self, key, reason):
        """Notes an image; what `input.corrupt_images.CorruptImages` calls.

        Args:
          key: str.
          reason: str.
        """
        self._count += 1
        if self._count <= self._limit:
            self._tell(
                f'Left out, since it cannot be read: {key}: {reason} ({self._count} '
                f'so far, `max_corrupt_images={self._limit}`)'
            )
        if key not in self._known:
            self._known.add(key)
            line = {'key': key, 'reason': reason, 'time': round(time.time(), 3)}
            self._lines.append(json.dumps(line) + '\n')
        self.flush()

    def flush(self):
        """Writes what was kept back, if the directory is there."""
        if self._path is None or not self._lines:
            return
        if os.path.isdir(os.path.dirname(self._path)):
            with open(self._path, 'a', encoding='utf-8') as file:
                file.write(''.join(self._lines))
            self._lines = []


def leave_out(source, limit, tell, model_dir=None):
    """Lets a source leave out what cannot be read.

    Args:
      source: `input.sources.base.DataSource`.
      limit: how many; at 0 the first ends the reading, as it does without this.
      tell: function of a text for a person.
      model_dir: see `CorruptImagesLog`.

    Returns:
      `CorruptImagesLog`; to be flushed in the end.
    """
    from input.corrupt_images import CorruptImages

    log = CorruptImagesLog(model_dir, tell, limit)
    if limit:
        source.corrupt_images = CorruptImages(limit, log.note)
    return log


def _keys(path):
    """Keys that a file names; a line that was cut short names none."""
    keys = set()
    if os.path.exists(path):
        with open(path, encoding='utf-8', errors='replace') as file:
            for text in file:
                try:
                    keys.add(json.loads(text)['key'])
                except (ValueError, KeyError, TypeError):
                    continue
    return keys
