"""Serves an export on this machine, to try it out: REST, gRPC and a web page.

    python -m launch.serve --export_dir=RUN/export

The APIs are TensorFlow Serving's, which is what to run in production (docs/serve.md).
SIGTERM and Ctrl-C end it when the requests under way are answered.
"""

import asyncio
import logging
import os
import signal
import sys

from absl import flags as absl_flags

from launch import app, flags

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
    'device',
)


_PORTS = {'lower_bound': 0, 'upper_bound': 65535}


def define_flags():
    """Defines the flags of this program."""
    define_text, define_number = absl_flags.DEFINE_string, absl_flags.DEFINE_integer
    define_text(
        'export_dir', None, 'Directory of the versions, or a SavedModel.', required=True
    )
    define_text('model_name', 'classifier', 'Name of the model in the URLs.')
    define_text('host', '127.0.0.1', 'Address to listen on; 0.0.0.0: all of them.')
    define_number('port', 8501, 'Of REST and the page; 0: any free.', **_PORTS)
    define_number('grpc_port', 8500, 'Of gRPC; 0: any free.', **_PORTS)
    absl_flags.DEFINE_bool('grpc', True, 'Whether to have gRPC.')
    define_number(
        'max_batch_size',
        32,
        'Most examples in a run, of several requests; 1: no batching.',
        lower_bound=1,
    )
    absl_flags.DEFINE_float(
        'max_wait_ms', 1.0, 'How long a request waits for company.', lower_bound=0
    )
    define_number(
        'batch_threads', None, 'Runs at a time. Default: the CPUs.', lower_bound=1
    )
    define_number(
        'max_queue', 1000, 'Requests that may wait; more get a 503.', lower_bound=1
    )
    define_number(
        'versions', 1, 'How many of the latest versions to serve.', lower_bound=1
    )
    define_text('version_labels', '', "Labels of versions: 'stable:3,canary:4'.")
    absl_flags.DEFINE_float(
        'poll_seconds', 1.0, 'Between two looks for new versions.', lower_bound=0.01
    )
    define_number('max_body_mb', 32, 'Largest request, in MiB.', lower_bound=1)
    absl_flags.DEFINE_float(
        'timeout',
        30.0,
        'Seconds that a client has to send a request, and this to answer it.',
        lower_bound=0.1,
    )
    absl_flags.DEFINE_enum('device', 'auto', ['auto', 'cpu', 'gpu'], 'What to run on.')


def main(arguments):
    """Serves as the flags say."""
    from estimator_clf.core.errors import ConfigError

    app.no_arguments(arguments)
    try:
        import aiohttp  # noqa: F401
        import grpc  # noqa: F401
        import prometheus_client  # noqa: F401
        import tensorflow_serving  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f'{error.name} is missing; serving has an extra of its own: '
            "pip install -e '.[serving]'"
        ) from None

    from estimator_clf.core import devices
    from estimator_clf.serving.batching import Batching
    from estimator_clf.serving.policy import Policy, parse_labels
    from estimator_clf.serving.server import Options, Server

    labels = parse_labels(FLAGS.version_labels)
    if not FLAGS.model_name or set(FLAGS.model_name) & set('/:'):
        raise ConfigError(
            f"--model_name must be a name without '/' and ':', got {FLAGS.model_name!r}"
        )
    devices.set_up(FLAGS.device)
    logging.basicConfig(format='%(levelname)s: %(message)s')
    options = Options(
        export_dir=FLAGS.export_dir,
        name=FLAGS.model_name,
        host=FLAGS.host,
        port=FLAGS.port,
        grpc_port=FLAGS.grpc_port if FLAGS.grpc else None,
        batching=Batching(
            FLAGS.max_batch_size,
            FLAGS.max_wait_ms / 1000,
            FLAGS.batch_threads or os.cpu_count() or 1,
            FLAGS.max_queue,
        ),
        policy=Policy(latest=FLAGS.versions),
        labels=labels,
        poll=FLAGS.poll_seconds,
        max_body=FLAGS.max_body_mb << 20,
        timeout=FLAGS.timeout,
    )
    asyncio.run(_serve(Server(options), options))


async def _serve(server, options):
    """Serves until a signal comes."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    await server.start()
    name = options.name
    print(f'Page:  {server.url}/')
    print(f'REST:  {server.url}/v1/models/{name}:predict')
    if server.grpc_port:
        print(f'gRPC:  {server.grpc_address}')
    print(
        'This is for trying a model out; in production run TensorFlow Serving '
        '(docs/serve.md).',
        flush=True,
    )
    await asked.wait()
    print('Answering what is under way, then ending.', file=sys.stderr, flush=True)
    await server.stop()


def _help():
    return __doc__ + '\n' + '\n'.join(map(flags.flag_help, NAMES))


def run() -> None:
    """Runs the program on `sys.argv` and exits."""
    define_flags()
    app.run(main, _help)


if __name__ == '__main__':
    run()
