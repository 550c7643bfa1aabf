"""The whole server: model, HTTP, gRPC."""

import asyncio
import dataclasses
import logging
import socket

import grpc

from estimator_clf.core.errors import ConfigError
from estimator_clf.serving.batching import Batching
from estimator_clf.serving.core import Core
from estimator_clf.serving.grpc_api import add_services
from estimator_clf.serving.http_server import HttpServer
from estimator_clf.serving.metrics import Metrics
from estimator_clf.serving.policy import Policy
from estimator_clf.serving.versions import Versions

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Options:
    """How to serve.

    Attributes:
      export_dir: directory of the versions.
      name: of the model.
      host: address to listen on.
      port: for HTTP; 0 takes a free one.
      grpc_port: for gRPC; 0 takes a free one, None has no gRPC.
      batching: `Batching`.
      policy: `Policy`.
      labels: dict label -> version number.
      poll: seconds between two looks for new versions.
      max_body: bytes of the largest request.
      timeout: seconds for each part of an exchange.
    """

    export_dir: str
    name: str = 'classifier'
    host: str = '127.0.0.1'
    port: int = 8501
    grpc_port: int | None = 8500
    batching: Batching = dataclasses.field(default_factory=Batching)
    policy: Policy = dataclasses.field(default_factory=Policy)
    labels: dict = dataclasses.field(default_factory=dict)
    poll: float = 1.0
    max_body: int = 32 << 20
    timeout: float = 30.0


class Server:
    """A server, from `start` to `stop`; both belong to one event loop."""

    def __init__(self, options):
        """Makes the server; nothing is loaded yet.

        Args:
          options: `Options`.
        """
        self._options = options
        self._core = self._http = self._grpc = self._watch = None
        self.port = self.grpc_port = None

    @property
    def url(self):
        """Where the HTTP side is."""
        return f'http://{_address(self._options.host, self.port)}'

    @property
    def grpc_address(self):
        """Where the gRPC side is."""
        return _address(self._options.host, self.grpc_port)

    async def start(self):
        """Loads the model and opens the ports.

        Raises:
          ConfigError: no model, or a port that is taken.
        """
        options = self._options
        # First, since a port that is taken is known at once and a model is not.
        listening = _bind(options.host, options.port)
        self.port = listening.getsockname()[1]
        try:
            await self._open(listening)
        except BaseException:
            listening.close()
            await self.stop()
            raise

    async def _open(self, listening):
        options = self._options
        metrics = Metrics(options.name)
        versions = Versions(
            options.name,
            options.export_dir,
            options.policy,
            options.labels,
            metrics.on_version,
        )
        core = Core(versions, options.batching, metrics)
        self._core = core
        if options.grpc_port is not None:
            self._grpc, self.grpc_port = _grpc_server(options, core, metrics)
        await versions.start()
        if self._grpc:
            await self._grpc.start()
        self._http = HttpServer(core, metrics, options.max_body, options.timeout)
        await self._http.start(listening)
        loop = asyncio.get_running_loop()
        self._watch = loop.create_task(versions.watch(options.poll))

    async def stop(self):
        """Takes no more requests, answers those there are, lets go of the model."""
        if self._watch:
            self._watch.cancel()
        stops = []
        if self._http:
            stops.append(self._http.stop())
        if self._grpc:
            stops.append(self._grpc.stop(self._options.timeout))
        await asyncio.gather(*stops)
        if self._core:
            await self._core.close()


def _address(host, port):
    return f'[{host}]:{port}' if ':' in host else f'{host}:{port}'


def _bind(host, port):
    """Returns a socket bound to a port of our own."""
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    bound = socket.socket(family)
    # Without it a port stays taken for a minute after its server has gone.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise ConfigError(
            f'`port={port}` on `host={host}` cannot be had: {error.strerror or error}; '
            'name another, or 0 for any that is free'
        ) from None
    return bound


def _grpc_server(options, core, metrics):
    server = grpc.aio.server(
        options=[
            # Or a second server would silently share the port.
            ('grpc.so_reuseport', 0),
            ('grpc.max_receive_message_length', options.max_body),
            ('grpc.max_send_message_length', -1),
        ]
    )
    add_services(server, core, metrics)
    try:
        port = server.add_insecure_port(_address(options.host, options.grpc_port))
    except RuntimeError:
        port = 0
    if not port:
        raise ConfigError(
            f'`grpc_port={options.grpc_port}` on `host={options.host}` cannot be had; '
            'name another, or 0 for any that is free'
        )
    return server, port
