"""Images that cannot be read during a run: named, counted and skipped."""

import threading
from collections.abc import Callable, Iterable
from typing import NoReturn

from estimator_clf.core.errors import DataError


class CorruptImages:
    """Counts the images that a run skips, up to a limit.

        source.corrupt_images = CorruptImages(10, lambda name, reason: print(name))
        input_fn = source.input_fn('train', 32, training=True)

    In training another image of the same batch replaces a corrupt one, so that all
    others stay at their places; in evaluation it is omitted. One object may serve
    several sources.
    """

    def __init__(
        self, limit: int, on_corrupt: Callable[[str, str], object] | None = None
    ):
        """Makes an empty count.

        Args:
          limit: maximum number of images to skip, at least 1.
          on_corrupt: function (name, reason), called once for each, from any thread.
        """
        self.limit = limit
        self._on_corrupt = on_corrupt
        self._reasons: dict[str, str] = {}
        self._keys: set[str] = set()
        self._stopped_by: str | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._reasons)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    @property
    def stopped_by(self) -> str | None:
        """The error that ended the run, naming the images; None if there was none."""
        return self._stopped_by

    def note(
        self, name: str, find_reason: Callable[[], str], key: str | None = None
    ) -> None:
        """Records an image that could not be read.

        Args:
          name: what identifies it.
          find_reason: returns the reason; called the first time only.
          key: its key, if that is not its name.

        Raises:
          DataError: it exceeds the limit.
        """
        with self._lock:
            if name in self._reasons:
                if len(self._reasons) > self.limit:
                    raise DataError(self._stopped_by)
                return
            self._reasons[name] = reason = find_reason()
            self._keys.add(name if key is None else key)
            if self._on_corrupt:
                self._on_corrupt(name, reason)
            if len(self._reasons) > self.limit:
                lines = '\n  '.join(f'{k}: {r}' for k, r in self._reasons.items())
                self._stop(
                    f'{len(self._reasons)} images cannot be read, where '
                    f'`max_corrupt_images={self.limit}` is the most:\n  {lines}'
                )

    def raise_no_valid_examples(self, names: Iterable[str]) -> NoReturn:
        """Raises the error for a batch without an image that could replace another.

        Args:
          names: names of all images of the batch.

        Raises:
          DataError: always.
        """
        with self._lock:
            lines = '\n  '.join(
                f'{name}: {self._reasons[name]}' for name in dict.fromkeys(names)
            )
            self._stop(f'No image of a training batch can be read:\n  {lines}')

    def _stop(self, reason: str) -> NoReturn:
        self._stopped_by = reason
        raise DataError(reason)
