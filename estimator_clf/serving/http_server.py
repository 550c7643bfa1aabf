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
from aiohttp.http_exceptions import HttpProcessingError
from PIL import Image

from estimator_clf.serving.codec import payloads
from estimator_clf.serving.cors import CorsPolicy
from estimator_clf.serving.errors import ServingError
from estimator_clf.serving.inference import InferenceEngine
from estimator_clf.serving.memory_budget import MemoryBudget
from estimator_clf.serving.metrics import Metrics
from estimator_clf.serving.openapi import Endpoint, describe
from estimator_clf.serving.rest import RestApi

_logger = logging.getLogger(__name__)

_METHODS = ('predict', 'classify', 'regress')
_MODEL_INPUT_EXAMPLE = 'the body: curl --data-binary @image.jpg'

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

    def __init__(self, budget: MemoryBudget, timeout: float) -> None:
        """Creates the reader.

        Args:
          budget: limits of decompressed bodies.
          timeout: seconds in which a body must arrive.
        """
        self._budget, self._timeout = budget, timeout

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
            limit = self._budget.max_body
            if size > limit:
                text = f'the body must be at most {limit} bytes (`max_body`)'
                raise web.HTTPRequestEntityTooLarge(limit, size, text=text)
            more = max(0, size - reserved)
            self._budget.reserve(more)
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
            self._budget.release(reserved)


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
        self,
        engine: InferenceEngine,
        metrics: Metrics,
        budget: MemoryBudget,
        timeout: float,
        cors_origin: str | None = None,
    ) -> None:
        """Creates the server; `start` opens it.

        Args:
          engine: runs the model.
          metrics: counts the requests.
          budget: limits of decompressed bodies.
          timeout: seconds for each part of an exchange: receiving the headers and the
            body, computing the response, sending it.
          cors_origin: origin whose pages may read the responses, '*' for all.

        Raises:
          ConfigError: `cors_origin` is no origin.
        """
        self._engine, self._metrics, self._timeout = engine, metrics, timeout
        self._reader = BodyReader(budget, timeout)
        self._cors = CorsPolicy(cors_origin)
        name = self._model = engine.versions.name
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
            logger=_server_logger(),
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
        response = self._cors.preflight(request) or await self._run(request, handler)
        response.headers.update(self._cors.headers(request))
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
        except web.HTTPNotFound:
            text = f'no {request.method} {request.path[:200]}{self._suggest(request)}'
            return _error_response(text, 404)
        except web.HTTPMethodNotAllowed as error:
            allowed = ', '.join(sorted(error.allowed_methods))
            text = f'no {request.method} {request.path}; the path takes {allowed}'
            response = _error_response(text, 405)
            response.headers['Allow'] = allowed
            return response
        except web.HTTPException as error:
            return _error_response(error.text, error.status)
        except Exception as error:
            _logger.exception('%s %s', request.method, request.path)
            return _error_response(f'internal error: {type(error).__name__}', 500)

    def _suggest(self, request):
        """Returns the end of a message that names the path that was probably meant."""
        path, model = request.path.lower(), f'/v1/models/{self._model}'
        meant = next((f'POST {model}:{n}' for n in _METHODS if n in path), None)
        if not meant and 'meta' in path:
            meant = f'GET {model}/metadata'
        elif not meant and path.startswith(('/v1', '/v2')):
            meant = f'GET {model}'
        suggestion = f'; did you mean {meant}?' if meant else ';'
        return f'{suggestion} /openapi.json lists the paths'

    async def _page(self, parameters: Mapping[str, str], body: bytes) -> web.Response:
        return web.Response(
            text=self._page_text, content_type='text/html', headers=_PAGE_HEADERS
        )

    async def _model_input(
        self, parameters: Mapping[str, str], body: bytes
    ) -> web.Response:
        try:
            pixels = await self._engine.model_input(body)
        except ServingError as error:
            values = [('the body', body)]
            raise payloads.explain(error, values, _MODEL_INPUT_EXAMPLE) from None
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


def _server_logger():
    """Returns a logger for aiohttp without the tracebacks of malformed requests."""
    logger = _logger.getChild('aiohttp')
    logger.addFilter(_is_server_error)
    return logger


def _is_server_error(record):
    # aiohttp logs the mistakes of clients as errors, after it has answered them.
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, (HttpProcessingError, web.RequestPayloadError))


async def _send(response, request):
    with contextlib.suppress(ConnectionError):
        await response.prepare(request)
        await response.write_eof()


def _error_response(message, status):
    return web.json_response({'error': message}, status=status)
