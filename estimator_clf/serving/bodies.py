"""How much memory the bodies of requests may take."""

import contextlib

from aiohttp import web

# Where a request keeps its body, once it is read; older releases have no such keys.
BODY = web.RequestKey('body', bytes) if hasattr(web, 'RequestKey') else 'body'


class TooLarge(Exception):
    """One body alone is larger than any may be."""


class Full(Exception):
    """The bodies that are there leave no room for this one."""


class MemoryBudget:
    """Room for a number of bodies of the largest size."""

    def __init__(self, largest, count):
        """Makes the room.

        Args:
          largest: bytes that one body may have, unpacked.
          count: how many such there may be at a time.
        """
        self._largest, self._left = largest, largest * count

    @contextlib.contextmanager
    def body(self):
        """Yields the `Body` of a request; its room is free again at the end."""
        body = Body(self)
        try:
            yield body
        finally:
            self._left += body.size

    def take(self, size, more):
        """Takes room for `more` bytes of a body that then has `size`, or raises."""
        if size > self._largest:
            raise TooLarge
        if more > self._left:
            raise Full
        self._left -= more


class Body:
    """What one request may hold of the room."""

    def __init__(self, bodies):
        self._bodies, self.size = bodies, 0

    def grow(self, size):
        """Takes room for `size` bytes in all.

        Raises:
          TooLarge: no body may have so many.
          Full: others have taken the room.
        """
        if size > self.size:
            self._bodies.take(size, size - self.size)
            self.size = size

    async def read(self, content):
        """Reads a body to its end.

        Args:
          content: `aiohttp.StreamReader`. It unpacks what came packed, so that only
            here it is known how large that is, as with a body that comes in chunks.

        Returns:
          bytes.

        Raises:
          TooLarge, Full: see `grow`.
        """
        data = bytearray()
        while piece := await content.readany():
            self.grow(len(data) + len(piece))
            data += piece
        return bytes(data)
