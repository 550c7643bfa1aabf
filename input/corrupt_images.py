"""Images that cannot be read in mid-run: named, counted, and left out."""

import threading

from estimator_clf.core.errors import DataError


class CorruptImages:
    """Keeps count of the images that a run leaves out, up to a limit.

        source.corrupt_images = CorruptImages(10, lambda key, reason: print(key, reason))
        input_fn = source.input_fn('train', 32, training=True)

    In training another image of the same batch takes the place of a bad one, so that
    all others stay at theirs; in evaluation it is missing. One object may serve
    several sources.
    """

    def __init__(self, limit, on_bad=None):
        """Makes the object.

        Args:
          limit: the most images to leave out, at least 1.
          on_bad: function (name, reason), called once for each, from any thread.
        """
        self.limit = limit
        self._on_bad = on_bad
        self._reasons = {}
        self._keys = set()
        self._stopped_by = None
        self._lock = threading.Lock()

    def __len__(self):
        return len(self._reasons)

    def __contains__(self, key):
        return key in self._keys

    @property
    def stopped_by(self):
        """Why no more is left out, in words that name the images; or None."""
        return self._stopped_by

    def note(self, name, find_reason, key=None):
        """Notes that an image could not be read.

        Args:
          name: str, by which it is told from all others.
          find_reason: function without arguments that returns why, as str; called
            the first time only.
          key: its key, where that is another than its name.

        Raises:
          DataError: it is one too many.
        """
        with self._lock:
            if name in self._reasons:
                if len(self._reasons) > self.limit:
                    raise DataError(self._stopped_by)
                return
            self._reasons[name] = reason = find_reason()
            self._keys.add(name if key is None else key)
            if self._on_bad:
                self._on_bad(name, reason)
            if len(self._reasons) > self.limit:
                lines = '\n  '.join(f'{k}: {r}' for k, r in self._reasons.items())
                self._stop(
                    f'{len(self._reasons)} images cannot be read, where '
                    f'`max_corrupt_images={self.limit}` is the most:\n  {lines}'
                )

    def raise_no_valid_examples(self, keys):
        """Says that there is no image that could take the place of the bad ones.

        Args:
          keys: keys of all images of the batch.

        Raises:
          DataError: always.
        """
        with self._lock:
            lines = '\n  '.join(f'{k}: {self._reasons[k]}' for k in dict.fromkeys(keys))
            self._stop(f'No image of a training batch can be read:\n  {lines}')

    def _stop(self, why):
        self._stopped_by = why
        raise DataError(why)
