"""Cross-origin requests of web pages (CORS, the Fetch standard of WHATWG)."""

import re

from aiohttp import hdrs, web

from estimator_clf.core.errors import ConfigError

_ORIGIN = re.compile(r'https?://[^/\s?#@*,]+', re.ASCII)
_MAX_AGE = '600'  # Seconds for which a browser may reuse the answer to a preflight.


class CorsPolicy:
    """Headers that allow the pages of one origin, or of all, to read responses."""

    def __init__(self, origin: str | None) -> None:
        """Creates the policy.

        Args:
          origin: scheme, host and port as browsers send them, '*' for all origins, None
            for none.

        Raises:
          ConfigError: it is none of these.
        """
        if origin not in (None, '*') and not _ORIGIN.fullmatch(origin or ''):
            raise ConfigError(
                '`cors_origin` must be an origin such as https://example.org:8080, '
                f"without a path, or '*' for all, got {origin!r}"
            )
        # Browsers send scheme and host in lower case.
        self._origin = origin and origin.lower()

    def headers(self, request: web.Request) -> dict[str, str]:
        """Returns the headers to add to a response."""
        if self._origin is None:
            return {}
        found: dict[str, str] = {hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: 'Server-Timing'}
        if self._origin == '*':
            return {**found, hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: '*'}
        # A cache must not give this response to pages of another origin.
        vary: dict[str, str] = {hdrs.VARY: 'Origin'}
        if request.headers.get(hdrs.ORIGIN) != self._origin:
            return vary
        return {**vary, **found, hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: self._origin}

    def preflight(self, request: web.Request) -> web.Response | None:
        """Returns the response to a preflight request; None for any other request."""
        is_preflight = (
            request.method == hdrs.METH_OPTIONS
            and hdrs.ORIGIN in request.headers
            and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        )
        if self._origin is None or not is_preflight:
            return None
        return web.Response(
            status=204,
            headers={
                hdrs.ACCESS_CONTROL_ALLOW_METHODS: 'GET, POST',
                hdrs.ACCESS_CONTROL_ALLOW_HEADERS: 'Content-Type, Content-Encoding',
                hdrs.ACCESS_CONTROL_MAX_AGE: _MAX_AGE,
            },
        )
