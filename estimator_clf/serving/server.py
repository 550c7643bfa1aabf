"""Server with an HTTP and a gRPC port."""

import asyncio
import dataclasses
import socket
from collections.abc import Mapping
from typing import Any

from estimator_clf.core.errors import ConfigError
from estimator_clf.serving import grpc_api
from estimator_clf.serving.batching import BatchingOptions
from estimator_clf.serving.http_server import HttpServer
from estimator_clf.serving.inference import InferenceEngine
from estimator_clf.serving.memory_budget import MemoryBudget
from estimator_clf.serving.metrics import Metrics
from estimator_clf.serving.version_manager import VersionManager, VersionPolicy


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """What to serve, and how.

    Attributes:
      export_dir: directory of the versions, or a SavedModel.
      model_name: name of the model in URLs and requests.
      host: address to listen on.
      port: HTTP port; 0 for any free one.
      grpc_port: gRPC port; 0 for any free one, None to disable gRPC.
      batching: how requests are merged.
      policy: which versions to serve.
      version_labels: label -> version number.
      poll_seconds: interval at which to look for new versions.
      max_body: maximum size of a request, in bytes.
      timeout: seconds for each part of an exchange.
      cors_origin: origin whose web pages may read the responses; '*' for all, None for
        none.
    """

    export_dir: str
    model_name: str = 'classifier'
    host: str = '127.0.0.1'
    port: int = 8501
    grpc_port: int | None = 8500
    batching: BatchingOptions = dataclasses.field(default_factory=BatchingOptions)
    policy: VersionPolicy = dataclasses.field(default_factory=VersionPolicy)
    version_labels: Mapping[str, int] = dataclasses.field(default_factory=dict)
    poll_seconds: float = 1.0
    max_body: int = 32 << 20
    timeout: float = 30.0
    cors_origin: str | None = None


class Server:
    """A server; all methods belong to one event loop.

    Attributes:
      port: HTTP port, once started.
      grpc_port: gRPC port, once started; None without gRPC.
    """

    def __init__(self, options: ServerOptions) -> None:
        """Creates the server; `start` loads the model."""
        self._options = options
        self.port: int | None = None
        self.grpc_port: int | None = None
        self._engine: InferenceEngine | None = None
        self._http: HttpServer | None = None
        self._grpc: Any = None
        self._polling: asyncio.Task | None = None

    @property
    def url(self) -> str:
        """URL of the page and of the REST API."""
        return f'http://{_address(self._options.host, self.port)}'

    @property
    def grpc_address(self) -> str:
        """Address of the gRPC API."""
        return _address(self._options.host, self.grpc_port)

    async def start(self) -> None:
        """Loads the model and opens the ports.

        Raises:
          ConfigError: no model can be loaded, or a port is in use.
        """
        # Binding comes first: it fails at once, and loading a model takes seconds.
        listening = _bind(self._options.host, self._options.port)
        self.port = listening.getsockname()[1]
        try:
            await self._start(listening)
        except BaseException:
            listening.close()
            await self.stop()
            raise

    async def stop(self) -> None:
        """Accepts no more requests, finishes those in progress, unloads the model."""
        if self._polling:
            self._polling.cancel()
        stops = []
        if self._http:
            stops.append(self._http.stop())
        if self._grpc:
            stops.append(self._grpc.stop(self._options.timeout))
        await asyncio.gather(*stops)
        if self._engine:
            await self._engine.close()

    async def _start(self, listening):
        options = self._options
        metrics = Metrics(options.model_name)
        budget = MemoryBudget(options.max_body)
        versions = VersionManager(
            options.model_name,
            options.export_dir,
            options.policy,
            options.version_labels,
            metrics.on_version,
        )
        self._engine = InferenceEngine(versions, options.batching, metrics)
        if options.grpc_port is not None:
            self._grpc = grpc_api.create_server(
                self._engine, metrics, budget, options.timeout
            )
            self.grpc_port = self._add_grpc_port()
        http = HttpServer(
            self._engine, metrics, budget, options.timeout, options.cors_origin
        )
        await versions.start()
        if self._grpc:
            await self._grpc.start()
        self._http = http
        await self._http.start(listening)
        loop = asyncio.get_running_loop()
        self._polling = loop.create_task(versions.poll_forever(options.poll_seconds))

    def _add_grpc_port(self):
        host, port = self._options.host, self._options.grpc_port
        try:
            bound = self._grpc.add_insecure_port(_address(host, port))
        except RuntimeError:
            bound = 0
        if not bound:
            raise _unavailable('grpc_port', port, host)
        return bound


def _address(host, port):
    return f'[{host}]:{port}' if ':' in host else f'{host}:{port}'


def _bind(host, port):
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    bound = socket.socket(family)
    # Without it a port stays in use for a minute after its server has ended.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise _unavailable('port', port, host, f': {error.strerror or error}') from None
    return bound


def _unavailable(argument, port, host, reason=''):
    return ConfigError(
        f'`{argument}={port}` on `host={host}` cannot be opened{reason}; '
        'use another port, or 0 for any free one'
    )
