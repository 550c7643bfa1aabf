"""Converts any dataset to sharded TFRecords, atomically, in several processes.

Everything is written to a hidden directory next to the output directory, and renamed at
the end. So a directory of that name is always complete.
"""

import concurrent.futures
import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import numpy as np

from estimator_clf.core.atomic_files import partial_directory
from estimator_clf.core.errors import DataError
from estimator_clf.core.hardware.cpu_info import available_cores
from estimator_clf.core.spawn import isolated_workers
from input.convert.shard_writer import (
    ENDINGS,
    Job,
    Settings,
    ShardWriter,
    data_errors,
)
from input.registry import open_dataset
from input.sampling.stateless_random import mix, mix_text
from input.sources.base import DataSource
from input.tfrecord.manifest import Manifest

# Large enough for fast reading, small enough for reading many in turns.
_SHARD_BYTES = 150e6

# Starting a process takes as long as writing about this many images.
_WORTH_A_PROCESS = 5000


def convert(
    source_args: dict[str, Any],
    output_dir: str,
    *,
    shards: int | None = None,
    compression: str | None = '',
    workers: int | None = None,
    progress: Callable[[int, int], object] | None = None,
    on_open: Callable[[DataSource], object] | None = None,
) -> Manifest:
    """Converts a dataset to a directory that `dataset=tfrecord` reads.

    Encoded images are not changed; those of formats in memory become PNG. Each is
    decoded once, so that all records can be read. The shard and place of each example
    are a fixed permutation. After an exception, Ctrl-C or SIGTERM nothing remains;
    after SIGKILL a hidden directory remains, which the next run in the same parent
    directory removes.

    Args:
      source_args: arguments for `input.open_dataset`.
      output_dir: directory to write; must not exist, or be empty.
      shards: number of shards of the training split, the other splits in
        proportion; by default for about 150 MB each.
      compression: '', 'GZIP' or 'ZLIB'. Encoded images hardly become smaller.
      workers: number of processes; by default one per core for large datasets.
      progress: function (examples done, total), called regularly.
      on_open: function (source), called before anything is converted.

    Returns:
      The manifest that was written.

    Raises:
      DataError: an invalid option or output_dir, or corrupt data.
    """
    compression = _check_compression(compression)
    for argument, value in (('shards', shards), ('workers', workers)):
        if value is not None and value < 1:
            raise DataError(f'`{argument}` must be at least 1, got {value}')
    output_dir = os.path.realpath(output_dir)
    _check_output_dir(output_dir)
    source = open_dataset(**source_args)
    if not source.class_names:
        raise DataError(f'{source.name} has no images to convert, only numbers')
    for split in source.num_examples:
        if not split.isidentifier():
            raise DataError(
                f'{source.name}: the split {split!r} cannot be part of a file name; '
                'convert whole splits'
            )
    if on_open:
        on_open(source)
    with _atomic_directory(output_dir) as directory:
        root = source_args.get('data_dir')
        settings = Settings(directory, compression, root, _example_bytes(source))
        jobs = _plan(source, shards, settings.example_bytes)
        total = sum(source.num_examples.values())
        if workers is None:
            workers = min(available_cores(), 1 + total // _WORTH_A_PROCESS)
        groups = _groups(jobs, source.indexed, workers)
        workers = min(workers, len(groups))

        def report(done):
            if progress:
                progress(done, total)

        if workers == 1:
            done = _write_here(source, settings, groups, report)
        else:
            done = _write_in_processes(source_args, settings, groups, workers, report)
        written: dict[str, list[dict[str, Any]]] = {}
        for group, facts in zip(groups, done, strict=True):
            written.setdefault(group[0].split, []).extend(facts)
        with data_errors(source):
            manifest = Manifest(source.info, written)
        with open(os.path.join(directory, 'labels.txt'), 'w', encoding='utf-8') as file:
            file.writelines(f'{name}\n' for name in source.class_names)
        manifest.write(directory)
    return manifest


def _check_compression(compression: str | None) -> str:
    text = (compression or '').upper()
    text = '' if text == 'NONE' else text
    if text not in ENDINGS:
        raise DataError(
            f'`compression` must be GZIP, ZLIB or none, got {compression!r}'
        )
    return text


def _check_output_dir(output_dir: str) -> None:
    if os.path.isdir(output_dir):
        if os.listdir(output_dir):
            raise DataError(
                f'`output_dir` must not exist or be empty, but {output_dir} contains '
                f'{sorted(os.listdir(output_dir))[0]!r}; use another or remove it'
            )
        if os.path.ismount(output_dir):
            raise DataError(
                f'`output_dir={output_dir}` is the mount point of a file system, which '
                'another directory cannot replace; use one inside it'
            )
    elif os.path.lexists(output_dir):
        raise DataError(f'`output_dir` must be a directory, but {output_dir} is a file')


def _example_bytes(source: DataSource) -> float:
    """Estimates the mean size of an encoded image from a few of the largest split."""
    sizes = source.num_examples
    with data_errors(source):
        few = source.sample(max(sizes, key=sizes.__getitem__))
    return sum(map(len, few)) / len(few)


def _plan(source: DataSource, shards: int | None, example_bytes: float) -> list[Job]:
    """Divides the splits into shards, the largest split first."""
    sizes = source.num_examples
    most = 'train' if 'train' in sizes else max(sizes, key=sizes.__getitem__)
    if shards is not None and shards > sizes[most]:
        raise DataError(
            f'`shards={shards}` must not be more than the {sizes[most]} examples of '
            f'the split {most!r}'
        )
    if shards is None:
        shards = max(1, round(sizes[most] * example_bytes / _SHARD_BYTES))
    jobs = []
    for split, size in sorted(sizes.items(), key=lambda item: -item[1]):
        count = shards if split == most else round(shards * size / sizes[most])
        count = min(max(count, 1), size)
        salt = np.uint64(mix_text(f'convert {split}'))
        order = np.argsort(mix(np.arange(size, dtype=np.uint64) ^ salt))
        for number, indices in enumerate(np.array_split(order, count)):
            jobs.append(Job(f'{split}-{number:05d}-of-{count:05d}', split, indices))
    return jobs


def _groups(jobs: Sequence[Job], indexed: bool, workers: int) -> list[list[Job]]:
    """Groups the shards of one split that are written together.

    A source without random access is read once for each group, so once per process.
    """
    if indexed:
        return [[job] for job in jobs]
    groups = []
    for _, jobs_of_split in itertools.groupby(jobs, key=lambda job: job.split):
        of_split = list(jobs_of_split)
        size = -(-len(of_split) // workers)
        groups += [of_split[n : n + size] for n in range(0, len(of_split), size)]
    return groups


def _write_here(
    source: DataSource,
    settings: Settings,
    groups: Sequence[list[Job]],
    report: Callable[[int], object],
) -> list[list[dict[str, Any]]]:
    writer, done = ShardWriter(source, settings), 0

    def count():
        nonlocal done
        done += 1
        report(done)

    return [writer.write(group, count) for group in groups]


def _write_in_processes(
    source_args: Mapping[str, Any],
    settings: Settings,
    groups: Sequence[list[Job]],
    workers: int,
    report: Callable[[int], object],
) -> list[list[dict[str, Any]]]:
    # Not 'fork': TensorFlow's threads do not survive it.
    context = multiprocessing.get_context('spawn')
    others = set(multiprocessing.active_children())
    with isolated_workers():
        counter = context.Value('q', 0)
        pool = concurrent.futures.ProcessPoolExecutor(
            workers, context, _start_worker, (source_args, settings, counter)
        )
    try:
        with isolated_workers():  # The processes are started here.
            futures = [pool.submit(_work, group) for group in groups]
        waiting = set(futures)
        while waiting:
            done, waiting = concurrent.futures.wait(
                waiting, 0.2, concurrent.futures.FIRST_EXCEPTION
            )
            for future in done:
                future.result()
            report(counter.value)
    except BaseException as error:
        # They may be in the middle of a shard, or still importing TensorFlow.
        for process in set(multiprocessing.active_children()) - others:
            process.kill()
        pool.shutdown(wait=True, cancel_futures=True)
        if isinstance(error, concurrent.futures.process.BrokenProcessPool):
            raise DataError(
                'a converting process died, possibly for lack of memory; try fewer '
                '`workers`'
            ) from None
        raise
    pool.shutdown()
    return [future.result() for future in futures]


# Of a process of the pool: its writer, and a function to count examples.
_worker: tuple[ShardWriter, Callable[[], None]] | None = None


def _start_worker(
    source_args: Mapping[str, Any], settings: Settings, counter: Any
) -> None:
    global _worker
    # Ctrl-C reaches all processes; the parent handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()

    def count():
        with counter.get_lock():
            counter.value += 1

    _worker = (ShardWriter(open_dataset(**source_args), settings, threads=1), count)


def _die_with_parent() -> None:
    # A pool's process waits endlessly for work from a parent that was killed.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _work(group: list[Job]) -> list[dict[str, Any]]:
    assert _worker is not None  # `_start_worker` ran.
    writer, count = _worker
    return writer.write(group, count)


@contextlib.contextmanager
def _atomic_directory(output_dir: str) -> Iterator[str]:
    """Yields a new directory; renames it to `output_dir`, or deletes it on an error."""
    parent = os.path.dirname(output_dir)
    with _sigterm_raises(), contextlib.ExitStack() as stack:
        try:
            os.makedirs(parent, exist_ok=True)
            directory = stack.enter_context(partial_directory(parent))
        except OSError as error:
            raise DataError(
                f'`output_dir={output_dir}` cannot be created: {error.filename}: '
                f'{error.strerror}; use another'
            ) from None
        yield directory
        if os.path.isdir(output_dir):
            os.rmdir(output_dir)
        os.rename(directory, output_dir)


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Turns SIGTERM inside the block into an exception, so that it cleans up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number, _):
        signal.signal(number, signal.SIG_IGN)  # Only the first one raises.
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
