"""Memory that the requests of both APIs may take together."""

import contextlib
from collections.abc import Iterator

from estimator_clf.serving.errors import ServingError

_MAX_BODIES = 16  # Number of bodies of the maximum size in memory.


class MemoryBudget:
    """Bytes of request bodies in memory; used in the thread of the event loop.

    Attributes:
      max_body: maximum size of one body, in bytes.
    """

    def __init__(self, max_body: int) -> None:
        """Creates the budget of 16 bodies of `max_body` bytes."""
        self.max_body = max_body
        self._left = max_body * _MAX_BODIES

    def reserve(self, size: int) -> None:
        """Takes some bytes.

        Raises:
          ServingError: fewer are left.
        """
        if size > self._left:
            raise ServingError(
                'UNAVAILABLE',
                f'too many large requests at once: all may take {_MAX_BODIES} times '
                f'{self.max_body} bytes (`max_body`); try again later',
            )
        self._left -= size

    def release(self, size: int) -> None:
        """Gives reserved bytes back."""
        self._left += size

    @contextlib.contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Reserves some bytes within the block."""
        self.reserve(size)
        try:
            yield
        finally:
            self.release(size)
