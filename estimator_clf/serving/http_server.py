"""The HTTP side: routes, limits, and answers to what is no request at all."""

import asyncio
import contextlib
import logging

from aiohttp import web

from estimator_clf.serving import openapi
from estimator_clf.serving.bodies import BODY, Full, MemoryBudget, TooLarge
from estimator_clf.serving.page import Page
from estimator_clf.serving.rest import RestApi, error_response
from estimator_clf.serving.status import ServingError

_logger = logging.getLogger(__name__)

_BODIES = 16  # Largest bodies in memory at a time.


class HttpServer:
    """aiohttp's server, with a limit to all that a client may take."""

    def __init__(self, core, metrics, max_body, timeout):
        """Makes the server; `start` opens it.

        Args:
          core: `Core`.
          metrics: `Metrics`.
          max_body: bytes of the largest body, unpacked.
          timeout: seconds for each part of an exchange: the headers, the body, the
            answer, its way back.
        """
        self._metrics, self._max_body, self._timeout = metrics, max_body, timeout
        self._bodies = MemoryBudget(max_body, _BODIES)
        self._begun = set()
        app = web.Application(middlewares=[self._answered])
        page = Page(core)
        description = openapi.description(core.versions.name)
        app.router.add_get('/', page.show)
        app.router.add_post('/seen', page.seen)
        app.router.add_get('/openapi.json', lambda _: _later(description))
        app.router.add_get('/monitoring/prometheus/metrics', self._show_metrics)
        app.router.add_route('*', '/v1{rest:.*}', RestApi(core, metrics).handle)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=timeout,
            shutdown_timeout=timeout,
            lingering_time=min(timeout, 2),
        )
        self._sweeper = None

    async def start(self, listening):
        """Begins to answer.

        Args:
          listening: bound socket.
        """
        await self._runner.setup()
        await web.SockSite(self._runner, listening, backlog=1024).start()
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    async def stop(self):
        """Takes no new connections, and answers what is under way."""
        if self._sweeper:
            self._sweeper.cancel()
        await self._runner.cleanup()

    @web.middleware
    async def _answered(self, request, handler):
        """Has each request answered in time, whatever happens."""
        self._begun.add(request.protocol)
        try:
            with self._bodies.body() as body:
                body.grow(request.content_length or 0)
                response = await self._answer(request, handler, body)
        except TooLarge:
            response = error_response(
                f'the body is larger than {self._max_body} bytes (`max_body_mb`)', 413
            )
        except Full:
            response = error_response('Too many large requests at once', 503)
        if request.can_read_body and not request.content.at_eof():
            response.force_close()  # What is left of the body is not worth the wait.
        try:
            await asyncio.wait_for(_send(response, request), self._timeout)
        except (asyncio.TimeoutError, ConnectionError):
            if request.transport:
                request.transport.abort()
        return response

    async def _answer(self, request, handler, body):
        try:
            reading = body.read(request.content)
            request[BODY] = await asyncio.wait_for(reading, self._timeout)
        except (TooLarge, Full):
            raise
        except asyncio.TimeoutError:
            return error_response('the body did not come in time', 408)
        except Exception as error:  # Not gzip though it says so, a broken chunk, …
            return error_response(f'the body cannot be read: {error}', 400)
        try:
            return await asyncio.wait_for(handler(request), self._timeout)
        except ServingError as error:
            return error_response(str(error), error.http)
        except asyncio.TimeoutError:
            return error_response('it took too long (`timeout`)', 504)
        except web.HTTPException as error:
            return error_response(f'{request.path}: {error.reason}', error.status)
        except Exception as error:
            _logger.exception('%s %s', request.method, request.path)
            return error_response(f'internal error: {type(error).__name__}', 500)

    async def _show_metrics(self, request):
        body, kind = self._metrics.page()
        return web.Response(body=body, headers={'Content-Type': kind})

    async def _sweep(self):
        """Hangs up on connections whose first request does not come.

        aiohttp's own `keepalive_timeout` holds from the second request on.
        """
        loop, seen = asyncio.get_running_loop(), {}
        while True:
            await asyncio.sleep(min(1, self._timeout / 4))
            now = loop.time()
            there = set(self._runner.server.connections)
            self._begun &= there
            seen = {c: seen.get(c, now) for c in there - self._begun}
            for connection, since in seen.items():
                if now - since > self._timeout:
                    connection.force_close()


async def _send(response, request):
    with contextlib.suppress(ConnectionError):
        await response.prepare(request)
        await response.write_eof()


async def _later(value):
    return web.json_response(value)
