"""Serves an export on this machine for trying it out: REST, gRPC and a web page.

    python -m launch.serve --export_dir=RUN/export

The APIs are TensorFlow Serving's. For production use TensorFlow Serving itself
(docs/serve.md). SIGTERM and Ctrl-C stop the program after the requests in progress.
"""

import asyncio
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from absl import flags as absl_flags

from launch import app, flags
from launch.parsing import path_flags

if TYPE_CHECKING:
    from estimator_clf.serving.server import ServerOptions

FLAGS = flags.FLAGS

NAMES = (
    'export_dir',
    'model_name',
    'host',
    'port',
    'grpc_port',
    'grpc',
    'max_batch_size',
    'max_wait_ms',
    'batch_threads',
    'max_queue',
    'versions',
    'version_labels',
    'poll_seconds',
    'max_body_mb',
    'timeout',
    'cors_origin',
    'device',
)

_PORTS: dict[str, Any] = {'lower_bound': 0, 'upper_bound': 65535}


def define_flags() -> None:
    """Defines the flags of this program."""
    define_text, define_integer = absl_flags.DEFINE_string, absl_flags.DEFINE_integer
    define_number = absl_flags.DEFINE_float
    path_flags.define_path(
        'export_dir', help='Directory of the versions, or a SavedModel.', required=True
    )
    define_text('model_name', 'classifier', 'Name of the model in URLs and requests.')
    define_text('host', '127.0.0.1', 'Address to listen on; 0.0.0.0: all addresses.')
    define_integer('port', 8501, 'Port of REST and page; 0: any free port.', **_PORTS)
    define_integer('grpc_port', 8500, 'Port of gRPC; 0: any free port.', **_PORTS)
    absl_flags.DEFINE_bool('grpc', True, 'Whether to serve gRPC.')
    define_integer(
        'max_batch_size',
        32,
        'Maximum number of examples in a run, from several requests; 1: no batching.',
        lower_bound=1,
    )
    define_number(
        'max_wait_ms',
        1.0,
        'Milliseconds for which a request waits for others.',
        lower_bound=0,
    )
    define_integer(
        'batch_threads',
        None,
        'Number of concurrent runs. Default: the number of CPUs.',
        lower_bound=1,
    )
    define_integer(
        'max_queue',
        1000,
        'Maximum number of waiting requests; further ones get status 503.',
        lower_bound=1,
    )
    define_integer(
        'versions', 1, 'How many of the latest versions to serve.', lower_bound=1
    )
    define_text('version_labels', '', "Labels of versions: 'stable:3,canary:4'.")
    define_number(
        'poll_seconds', 1.0, 'Interval of looking for new versions.', lower_bound=0.01
    )
    define_integer('max_body_mb', 32, 'Maximum request size in MiB.', lower_bound=1)
    define_number(
        'timeout',
        30.0,
        'Seconds in which a request must arrive, and in which it must be processed.',
        lower_bound=0.1,
    )
    define_text(
        'cors_origin',
        None,
        'Origin whose web pages may use the server, such as https://example.org; *: '
        'all. Default: only its own page.',
    )
    absl_flags.DEFINE_enum('device', 'auto', ['auto', 'cpu', 'gpu'], 'Device to use.')


def main(arguments: list[str]) -> None:
    """Serves until SIGTERM or SIGINT."""
    from estimator_clf.core.errors import ConfigError

    app.no_arguments(arguments)
    try:
        import aiohttp  # noqa: F401
        import grpc  # noqa: F401
        import prometheus_client  # noqa: F401
        import tensorflow_serving  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f'serving requires the package {error.name}; install the extra: '
            "pip install -e '.[serving]'"
        ) from None

    from estimator_clf.core.hardware import devices
    from estimator_clf.serving.batching import BatchingOptions
    from estimator_clf.serving.server import ServerOptions
    from estimator_clf.serving.version_manager import VersionPolicy, parse_labels

    labels = parse_labels(FLAGS.version_labels)
    if not FLAGS.model_name or set(FLAGS.model_name) & set('/:'):
        raise ConfigError(
            "--model_name must be a non-empty name without '/' and ':', "
            f'got {FLAGS.model_name!r}'
        )
    devices.set_up(FLAGS.device)
    logging.basicConfig(format='%(levelname)s: %(message)s')
    options = ServerOptions(
        export_dir=FLAGS.export_dir,
        model_name=FLAGS.model_name,
        host=FLAGS.host,
        port=FLAGS.port,
        grpc_port=FLAGS.grpc_port if FLAGS.grpc else None,
        batching=BatchingOptions(
            FLAGS.max_batch_size,
            FLAGS.max_wait_ms / 1000,
            FLAGS.batch_threads or os.cpu_count() or 1,
            FLAGS.max_queue,
        ),
        policy=VersionPolicy(latest=FLAGS.versions),
        version_labels=labels,
        poll_seconds=FLAGS.poll_seconds,
        max_body=FLAGS.max_body_mb << 20,
        timeout=FLAGS.timeout,
        cors_origin=FLAGS.cors_origin,
    )
    asyncio.run(_serve(options))


async def _serve(options: 'ServerOptions') -> None:
    from estimator_clf.serving.server import Server

    server = Server(options)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await server.start()
    print(f'Page:  {server.url}/')
    print(f'REST:  {server.url}/v1/models/{options.model_name}:predict')
    if server.grpc_port:
        print(f'gRPC:  {server.grpc_address}')
    print(
        'This server is for trying out a model; in production use TensorFlow Serving '
        '(docs/serve.md).',
        flush=True,
    )
    await stopping.wait()
    print('Finishing the requests in progress.', file=sys.stderr, flush=True)
    await server.stop()


def _help():
    return __doc__ + '\n' + '\n'.join(map(flags.flag_help, NAMES))


def run() -> None:
    """Runs the program on `sys.argv` and exits."""
    define_flags()
    app.run(main, _help)


if __name__ == '__main__':
    run()
