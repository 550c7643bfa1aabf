"""Throughput of `launch.serve`, with and without batching, relative to a plain loop.

    python benchmarks/serving.py --export_dir=RUN/export --images=DIR

The server runs in one process and the clients in another, both on this machine: compare
the ratios, not the speeds, with those of other machines. The limit is a loop over
`session.run` in one process, on batches, in as many threads as the server has, without
network; the loops in one thread show the effect of threads and batches. Every request
has one image. The first runs are not counted. Finally versions change under load, and
failed requests are counted.
"""

import argparse
import asyncio
import base64
import concurrent.futures
import glob
import itertools
import json
import math
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_WARM = 3  # Requests of each client, or runs of a loop, that are not counted.


def main(options):
    """Measures all variants in turn, several times, and prints a table."""
    servers = {
        'batching': [f'--max_batch_size={options.batch}'],
        'no batching': ['--max_batch_size=1'],
    }
    ways = {}
    for name, flags in servers.items():
        for api in ('REST', 'gRPC'):
            ways[f'{api}, {name}'] = (_through_server, (api, flags))
    threads = os.cpu_count()
    limit = f'loop, {options.batch} at a time, {threads} threads'
    ways[limit] = (_loop, (options.batch, threads))
    ways[f'loop, {options.batch} at a time'] = (_loop, (options.batch, 1))
    ways['loop, 1 at a time'] = (_loop, (1, 1))
    results = {name: [] for name in ways}
    for round_ in range(options.rounds):
        # In random order, since the load of the machine changes over time.
        for name in random.Random(round_).sample(sorted(ways), len(ways)):
            measure, arguments = ways[name]
            results[name].append(measure(options, *arguments))
            print(f'round {round_ + 1}, {name}: {results[name][-1]}', file=sys.stderr)
    print(f'{options.clients} clients, {options.seconds:g} s, {options.rounds} rounds')
    print('| way | images/s | of the limit | p50 ms | p99 ms | failed |')
    print('| --- | --- | --- | --- | --- | --- |')
    for name, found in results.items():
        ratios = [
            one['rate'] / other['rate']
            for one, other in zip(found, results[limit], strict=True)
        ]

        def median(key, found=found):
            return statistics.median(result[key] for result in found)

        print(
            f'| {name} | {median("rate"):.0f} | {statistics.median(ratios):.2f} '
            f'({min(ratios):.2f} to {max(ratios):.2f}) | {median("p50"):.1f} '
            f'| {median("p99"):.1f} | {sum(r["failed"] for r in found)} |'
        )
    print(_swaps(options))


def _through_server(options, api, flags, during=None):
    """Runs the clients against a server; returns their summary."""
    process = subprocess.Popen(
        [
            *(sys.executable, '-m', 'launch.serve', '--port=0', '--grpc_port=0'),
            f'--export_dir={options.export_dir}',
            *flags,
        ],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        text = ''.join(process.stdout.readline() for _ in range(4))
        where = re.search(rf'^{api}: +(\S+)', text, re.MULTILINE)[1]
        clients = subprocess.Popen(
            _this(options, f'--load={where}', f'--clients={options.clients}'),
            stdout=subprocess.PIPE,
            text=True,
        )
        if during:
            during(clients, where.removesuffix(':predict'))
        output, _ = clients.communicate(timeout=options.seconds + 300)
        if clients.returncode:
            sys.exit('the clients failed')
        return json.loads(output)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _loop(options, batch, threads):
    """Runs a loop over `session.run` in a subprocess; returns its summary."""
    output = subprocess.run(
        _this(
            options,
            f'--loop={batch}',
            f'--threads={threads}',
            f'--export_dir={options.export_dir}',
        ),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=options.seconds + 120,
    ).stdout
    return json.loads(output)


def _this(options, *flags):
    """Returns the command that runs this file in a subprocess."""
    images, seconds = f'--images={options.images}', f'--seconds={options.seconds}'
    return [sys.executable, os.path.abspath(__file__), images, seconds, *flags]


def _swaps(options):
    """Changes the version under load; returns a sentence with the failures."""
    from_ = sorted(
        (name for name in os.listdir(options.export_dir) if name.isdecimal()), key=int
    )[-1]
    with tempfile.TemporaryDirectory() as directory:
        shutil.copytree(os.path.join(options.export_dir, from_), f'{directory}/1')

        def during(clients, url):
            for number in range(2, 2 + options.swaps):
                time.sleep(options.seconds / (options.swaps + 1))
                source = os.path.join(options.export_dir, from_)
                shutil.copytree(source, f'{directory}/partial-{number}')
                os.rename(f'{directory}/partial-{number}', f'{directory}/{number}')
                while _state(url, number) != 'AVAILABLE' and clients.poll() is None:
                    time.sleep(0.05)
            if clients.poll() is not None:
                sys.exit(
                    'the clients ended before the last version; increase --seconds'
                )

        # Loading a version takes seconds while the clients are running.
        seconds = options.seconds + 8 * options.swaps
        changed = {**vars(options), 'export_dir': directory, 'seconds': seconds}
        changed = argparse.Namespace(**changed)
        found = _through_server(changed, 'REST', ['--poll_seconds=0.1'], during)
    return (
        f'{options.swaps} new versions under load: {found["failed"]} of '
        f'{found["count"]} requests failed, answered by {found["versions"]} versions; '
        f'p99 {found["p99"]:.1f} ms.'
    )


def _state(url, number):
    with urllib.request.urlopen(url) as response:
        found = json.load(response)['model_version_status']
    return next((v['state'] for v in found if v['version'] == str(number)), None)


def _read(options):
    """Returns the encoded images, at most 256."""
    paths = glob.glob(os.path.join(options.images, '**', '*.*'), recursive=True)
    paths = [p for p in sorted(paths) if p.lower().endswith(('jpg', 'jpeg', 'png'))]
    if not paths:
        sys.exit(f'--images must be a directory of images, got {options.images!r}')
    found = []
    for path in random.Random(0).sample(paths, min(256, len(paths))):
        with open(path, 'rb') as file:
            found.append(file.read())
    return found


def _summary(times, begin, end, failed=0, versions=()):
    """Summarizes the runs that ended in an interval.

    Args:
      times: list of (time of the end, seconds, images; 0 for a failure).
    """
    inside = [t for t in times if begin <= t[0] <= end]
    seconds = sorted(t[1] for t in inside if t[2]) or [math.nan]
    return {
        'rate': sum(t[2] for t in inside) / (end - begin),
        'p50': 1000 * seconds[len(seconds) // 2],
        'p99': 1000 * seconds[min(len(seconds) - 1, int(len(seconds) * 0.99))],
        'failed': failed,
        'count': len(times),
        'versions': len(set(versions)),
    }


def loop(options):
    """Measures a loop over `session.run`."""
    from estimator_clf.compat import estimator  # noqa: F401

    import numpy as np

    from estimator_clf import export
    from estimator_clf.core.hardware import devices
    from estimator_clf.serving.servable import Servable

    devices.set_up('cpu')
    servable = Servable(export.list_versions(options.export_dir)[-1])
    signature = servable.signature('')
    images, clock, times = _read(options), time.perf_counter, []

    def work(number, until):
        source = itertools.cycle(images[number:] + images[:number])
        for turn in itertools.count():
            now = clock()
            if now > until if until else turn == _WARM:
                return
            batch = np.array(list(itertools.islice(source, options.loop)), object)
            servable.run(signature, {'image_bytes': batch})
            times.append(((end := clock()), end - now, options.loop))

    with concurrent.futures.ThreadPoolExecutor(options.threads) as pool:
        list(pool.map(lambda n: work(n, None), range(options.threads)))
        begin = clock()
        until = begin + options.seconds
        list(pool.map(lambda n: work(n, until), range(options.threads)))
    return _summary(times, begin, until)


async def load(options):
    """Measures clients that each send the next request after each response."""
    prepare, close = await (_rest if '://' in options.load else _grpc)(options.load)
    requests = [prepare(image) for image in _read(options)]
    clock, times, versions, failed = time.perf_counter, [], [], 0

    async def client(number, until):
        nonlocal failed
        for turn in itertools.count():
            now = clock()
            if now > until if until else turn == _WARM:
                return
            done = 0
            try:
                request = requests[(number + turn * options.clients) % len(requests)]
                versions.append(await request())
                done = 1
            except Exception as error:
                failed += 1
                print(f'failed: {error}', file=sys.stderr)
            times.append(((end := clock()), end - now, done))

    async def all_clients(until):
        await asyncio.gather(*(client(n, until) for n in range(options.clients)))

    await all_clients(None)
    begin = clock()
    await all_clients(begin + options.seconds)
    await close()
    return _summary(times, begin, begin + options.seconds, failed, versions)


async def _rest(url):
    import aiohttp

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    def prepare(image):
        text = base64.b64encode(image).decode()
        body = json.dumps({'instances': [{'image_bytes': {'b64': text}}]}).encode()

        async def one():
            async with session.post(url, data=body) as response:
                answer = await response.read()
                if response.status != 200:
                    raise RuntimeError(answer[:200])
                timing = response.headers['Server-Timing']
                return re.search(r'version;desc="(\d+)"', timing)[1]

        return one

    return prepare, session.close


async def _grpc(address):
    from estimator_clf.compat import estimator  # noqa: F401

    import grpc
    import numpy as np
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    channel = grpc.aio.insecure_channel(address)
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def prepare(image):
        request = predict_pb2.PredictRequest()
        request.model_spec.name = 'classifier'
        tensor = tf.make_tensor_proto(np.array([image], object))
        request.inputs['image_bytes'].CopyFrom(tensor)

        async def one():
            answer = await stub.Predict(request, timeout=60)
            return answer.model_spec.version.value

        return one

    return prepare, channel.close


def _options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--export_dir', help='directory of the versions')
    parser.add_argument('--images', required=True, help='directory of images')
    parser.add_argument('--clients', type=int, default=32)
    parser.add_argument('--batch', type=int, default=32, help='maximum images per run')
    parser.add_argument(
        '--seconds', type=float, default=10.0, help='seconds per measurement'
    )
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--swaps', type=int, default=5)
    parser.add_argument('--loop', type=int, help=argparse.SUPPRESS)
    parser.add_argument('--threads', type=int, help=argparse.SUPPRESS)
    parser.add_argument('--load', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not (options.export_dir or options.load):
        parser.error('--export_dir is required')
    return options


if __name__ == '__main__':
    sys.path[0] = _ROOT  # Not this directory, whose input.py would shadow a package.
    chosen = _options()
    if chosen.load:
        print(json.dumps(asyncio.run(load(chosen))))
    elif chosen.loop:
        print(json.dumps(loop(chosen)))
    else:
        main(chosen)
