"""HTTP server: routes, request limits, and the page for trying out the model."""

import asyncio
import contextlib
import importlib.resources
import io
import json
import logging
import socket
from collections.abc import AsyncIterator, Mapping

from aiohttp import web
from PIL import Image

from estimator_clf.serving.errors import ServingError
from estimator_clf.serving.inference import InferenceEngine
from estimator_clf.serving.metrics import Metrics
from estimator_clf.serving.openapi import Endpoint, describe
from estimator_clf.serving.rest import RestApi

_logger = logging.getLogger(__name__)

_MAX_BODIES = 16  # Number of bodies of the maximum size in memory.

_PAGE_HEADERS = {
    # The page loads nothing from other hosts, whatever it contains.
    'Content-Security-Policy': (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    'X-Content-Type-Options': 'nosniff',
    'Cache-Control': 'no-cache',
}


class BodyReader:
    """Reads request bodies, with a limit for each and a memory budget for all."""

    def __init__(self, max_body: int, timeout: float) -> None:
        """Creates the reader.

        Args:
          max_body: maximum size of a decompressed body, in bytes.
          timeout: seconds in which a body must arrive.
        """
        self._max_body, self._timeout = max_body, timeout
        self._budget = max_body * _MAX_BODIES

    @contextlib.asynccontextmanager
    async def read(self, request: web.Request) -> AsyncIterator[bytes]:
        """Yields the body; it counts toward the budget within the block.

        Raises:
          web.HTTPException: it is too large or too slow.
          ServingError: it is invalid, or the budget is exhausted.
        """
        reserved = 0

        def reserve(size):
            nonlocal reserved
            if size > self._max_body:
                text = f'the body must be at most {self._max_body} bytes (`max_body`)'
                raise web.HTTPRequestEntityTooLarge(self._max_body, size, text=text)
            more = max(0, size - reserved)
            if more > self._budget:
                text = 'too many large requests at once; try again later'
                raise ServingError('UNAVAILABLE', text)
            self._budget -= more
            reserved += more

        try:
            reserve(request.content_length or 0)
            collect = _collect(request.content, reserve)
            try:
                body = await asyncio.wait_for(collect, self._timeout)
            except asyncio.TimeoutError:
                text = f'the body must arrive within {self._timeout:g} s (`timeout`)'
                raise web.HTTPRequestTimeout(text=text) from None
            yield body
        finally:
            self._budget += reserved


async def _collect(content, reserve):
    # The size of compressed and chunked bodies is known only while they are read.
    data = bytearray()
    try:
        while chunk := await content.readany():
            reserve(len(data) + len(chunk))
            data += chunk
    except (web.HTTPException, ServingError):
        raise
    except Exception as error:  # Invalid gzip or chunks, a closed connection.
        text = f'the body cannot be read: {error}'
        raise ServingError('INVALID_ARGUMENT', text) from None
    return bytes(data)


class HttpServer:
    """aiohttp's server, with limits on the time and memory that a client can use."""

    def __init__(
        self, engine: InferenceEngine, metrics: Metrics, max_body: int, timeout: float
    ) -> None:
        """Creates the server; `start` opens it.

        Args:
          engine: runs the model.
          metrics: counts the requests.
          max_body: maximum size of a decompressed body, in bytes.
          timeout: seconds for each part of an exchange: receiving the headers and the
            body, computing the response, sending it.
        """
        self._engine, self._metrics, self._timeout = engine, metrics, timeout
        self._reader = BodyReader(max_body, timeout)
        name = engine.versions.name
        directory = importlib.resources.files('estimator_clf.serving')
        page = (directory / 'page.html').read_text(encoding='utf-8')
        escaped = json.dumps(name).replace('<', '\\u003c')
        self._page_text = page.replace('/*MODEL*/null', escaped)
        image = {'application/octet-stream': {'type': 'string', 'format': 'binary'}}
        endpoints = [
            *RestApi(engine, metrics).endpoints(),
            Endpoint('get', '/', self._page, 'Page', response='text/html'),
            Endpoint(
                'post',
                '/model_input',
                self._model_input,
                'An image as the network receives it',
                image,
                'image/png',
            ),
            Endpoint('get', '/openapi.json', self._openapi, 'This document'),
            Endpoint(
                'get',
                '/monitoring/prometheus/metrics',
                self._exposition,
                'Metrics',
                response='text/plain',
            ),
        ]
        self._description = describe(
            f'{name}: the REST API of TensorFlow Serving', endpoints, {'model': [name]}
        )
        # Connections that have sent a whole request.
        self._used: set[web.RequestHandler] = set()
        app = web.Application(middlewares=[self._respond])
        for endpoint in endpoints:
            add = (
                app.router.add_get if endpoint.method == 'get' else app.router.add_post
            )
            add(endpoint.path, self._with_body(endpoint.handler))
        self._runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=timeout,
            shutdown_timeout=timeout,
            lingering_time=min(timeout, 2),
        )
        self._closer: asyncio.Task | None = None

    async def start(self, listening: socket.socket) -> None:
        """Accepts connections at a bound socket."""
        await self._runner.setup()
        await web.SockSite(self._runner, listening, backlog=1024).start()
        loop = asyncio.get_running_loop()
        self._closer = loop.create_task(self._close_unused_connections())

    async def stop(self) -> None:
        """Accepts no more connections and finishes the requests in progress."""
        if self._closer:
            self._closer.cancel()
        await self._runner.cleanup()

    def _with_body(self, handler):
        async def handle(request: web.Request) -> web.StreamResponse:
            async with self._reader.read(request) as body:
                response = handler(request.match_info, body)
                return await asyncio.wait_for(response, self._timeout)

        return handle

    @web.middleware
    async def _respond(self, request, handler):
        """Sends a response in time, whatever the handler raises."""
        self._used.add(request.protocol)
        response = await self._run(request, handler)
        if request.can_read_body and not request.content.at_eof():
            response.force_close()  # Do not wait for the rest of the body.
        try:
            await asyncio.wait_for(_send(response, request), self._timeout)
        except (asyncio.TimeoutError, ConnectionError):
            if request.transport:
                request.transport.abort()
        return response

    async def _run(self, request, handler):
        try:
            return await handler(request)
        except ServingError as error:
            return _error_response(str(error), error.http)
        except asyncio.TimeoutError:
            text = f'no result within {self._timeout:g} s (`timeout`); try again later'
            return _error_response(text, 504)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as error:
            text = f'no {request.method} {request.path}; /openapi.json lists the paths'
            return _error_response(text, error.status)
        except web.HTTPException as error:
            return _error_response(error.text, error.status)
        except Exception as error:
            _logger.exception('%s %s', request.method, request.path)
            return _error_response(f'internal error: {type(error).__name__}', 500)

    async def _page(self, parameters: Mapping[str, str], body: bytes) -> web.Response:
        return web.Response(
            text=self._page_text, content_type='text/html', headers=_PAGE_HEADERS
        )

    async def _model_input(
        self, parameters: Mapping[str, str], body: bytes
    ) -> web.Response:
        pixels = await self._engine.model_input(body)
        buffer = io.BytesIO()
        gray = pixels.shape[-1] == 1
        Image.fromarray(pixels[..., 0] if gray else pixels).save(buffer, 'PNG')
        return web.Response(
            body=buffer.getvalue(),
            content_type='image/png',
            headers={'Cache-Control': 'no-store'},
        )

    async def _openapi(
        self, parameters: Mapping[str, str], body: bytes
    ) -> web.Response:
        return web.json_response(self._description)

    async def _exposition(
        self, parameters: Mapping[str, str], body: bytes
    ) -> web.Response:
        text, kind = self._metrics.exposition()
        return web.Response(body=text, headers={'Content-Type': kind})

    async def _close_unused_connections(self):
        """Closes connections that send no whole request within the timeout.

        aiohttp's own `keepalive_timeout` applies from the second request on.
        """
        loop, opened = asyncio.get_running_loop(), {}
        while True:
            await asyncio.sleep(min(1, self._timeout / 4))
            now = loop.time()
            connections = set(self._runner.server.connections)
            self._used &= connections
            opened = {c: opened.get(c, now) for c in connections - self._used}
            for connection, since in opened.items():
                if now - since > self._timeout:
                    connection.force_close()


async def _send(response, request):
    with contextlib.suppress(ConnectionError):
        await response.prepare(request)
        await response.write_eof()


def _error_response(message, status):
    return web.json_response({'error': message}, status=status)
