"""Merges concurrent requests into batches."""

import asyncio
import collections
import concurrent.futures
import contextlib
import dataclasses
import os
import time
from collections.abc import Callable

import numpy as np

from estimator_clf.serving.errors import ServingError

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class BatchingOptions:
    """How requests are merged.

    Attributes:
      max_batch_size: maximum number of examples in a run; 1 disables batching.
      max_wait: seconds for which a request waits for others. While every thread is
        busy, requests accumulate without this delay.
      threads: number of concurrent runs.
      max_queue: maximum number of waiting requests; further ones are refused.
    """

    max_batch_size: int = 32
    max_wait: float = 0.001
    threads: int = dataclasses.field(default_factory=lambda: os.cpu_count() or 1)
    max_queue: int = 1000


@dataclasses.dataclass(frozen=True)
class BatchResult:
    """Outputs of a request.

    Attributes:
      outputs: output name -> array.
      batch_size: number of examples in the run that included the request.
      seconds: duration of this run.
    """

    outputs: Arrays
    batch_size: int
    seconds: float


@dataclasses.dataclass
class _Request:
    inputs: Arrays
    size: int
    future: asyncio.Future
    since: float
    is_alone: bool


class Batcher:
    """Queue of one signature of one version.

    All methods belong to the thread of the event loop; `run` and `on_batch` are called
    in the pool's threads.
    """

    def __init__(
        self,
        run: Callable[[Arrays], Arrays],
        options: BatchingOptions,
        slots: asyncio.Semaphore,
        pool: concurrent.futures.Executor,
        on_batch: Callable[[int, float], None] = lambda size, seconds: None,
    ) -> None:
        """Creates the queue.

        Args:
          run: computes the outputs of a batch.
          options: how requests are merged.
          slots: semaphore of `options.threads`, shared by all queues.
          pool: executor for the runs.
          on_batch: receives the number of examples and the seconds of each run.
        """
        self._run, self._options, self._slots = run, options, slots
        self._pool, self._on_batch = pool, on_batch
        self._queue: collections.deque[_Request] = collections.deque()
        self._size = 0
        self._added = asyncio.Event()
        self._task: asyncio.Task | None = None
        self._running: set[asyncio.Task] = set()

    async def submit(self, inputs: Arrays, size: int | None) -> BatchResult:
        """Runs a request, merged with others.

        Args:
          inputs: input name -> array of `size` examples.
          size: number of examples; None if the inputs are not a batch of examples, and
            the request has to run alone.

        Raises:
          ServingError: the queue is full, or the run failed because of this request.
        """
        limit = self._options.max_batch_size
        if size is not None and size > limit:
            return await self._split(inputs, size, limit)
        if len(self._queue) >= self._options.max_queue:
            raise ServingError(
                'UNAVAILABLE',
                f'the queue is full with {len(self._queue)} requests (`max_queue`); '
                'try again later',
            )
        loop = asyncio.get_running_loop()
        request = _Request(
            inputs,
            size or limit,  # A request that runs alone counts as a full batch.
            loop.create_future(),
            loop.time(),
            is_alone=not size,
        )
        self._queue.append(request)
        self._size += request.size
        self._added.set()
        if self._task is None:
            self._task = loop.create_task(self._process_queue())
        return await request.future

    async def _split(self, inputs, size, limit):
        """Runs a request that is larger than a batch in several runs."""

        async def submit(start):
            stop = min(start + limit, size)
            chunk = {name: x[start:stop] for name, x in inputs.items()}
            try:
                return await self.submit(chunk, stop - start)
            except ServingError as error:
                where = f'in examples {start} to {stop - 1} of the request'
                raise ServingError(error.code, f'{where}: {error}') from None

        # In sequence, so that a large request does not fill the queue.
        results = [await submit(start) for start in range(0, size, limit)]
        outputs = {
            name: np.concatenate([result.outputs[name] for result in results])
            for name in results[0].outputs
        }
        return BatchResult(outputs, limit, sum(result.seconds for result in results))

    async def _process_queue(self):
        """Runs batches until the queue is empty."""
        try:
            while self._queue:
                await self._wait_for_full_batch()
                await self._slots.acquire()
                batch = self._next_batch()
                task = asyncio.get_running_loop().create_task(self._execute(batch))
                self._running.add(task)  # The loop references tasks only weakly.
                task.add_done_callback(self._running.discard)
        finally:
            self._task = None

    async def _wait_for_full_batch(self):
        deadline = self._queue[0].since + self._options.max_wait
        loop = asyncio.get_running_loop()
        while self._size < self._options.max_batch_size:
            left = deadline - loop.time()
            if left <= 0:
                return
            self._added.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._added.wait(), left)

    def _next_batch(self):
        """Removes the requests of the next run, in the order of arrival."""
        batch, size = [], 0
        while self._queue:
            request = self._queue[0]
            if batch and (
                request.is_alone
                or batch[0].is_alone
                or size + request.size > self._options.max_batch_size
            ):
                break
            self._queue.popleft()
            self._size -= request.size
            if request.future.done():  # The client has disconnected.
                continue
            batch.append(request)
            size += request.size
        return batch

    async def _execute(self, batch):
        try:
            results = []
            if batch:
                results = await asyncio.get_running_loop().run_in_executor(
                    self._pool, self._run_all, batch
                )
        except BaseException as error:
            results = [error] * len(batch)
        finally:
            self._slots.release()
        for request, result in zip(batch, results, strict=True):
            if request.future.done():
                continue
            if isinstance(result, BaseException):
                request.future.set_exception(result)
            else:
                request.future.set_result(result)

    def _run_all(self, batch):
        """Runs requests together; returns a result or an error for each."""
        try:
            return self._run_merged(batch)
        except ServingError as error:
            if len(batch) == 1:
                return [error]
        # One invalid image fails the whole run. Bisection isolates it in few runs.
        middle = len(batch) // 2
        return self._run_all(batch[:middle]) + self._run_all(batch[middle:])

    def _run_merged(self, batch):
        begin = time.perf_counter()
        inputs = batch[0].inputs
        if len(batch) > 1:
            inputs = {
                name: np.concatenate([request.inputs[name] for request in batch])
                for name in inputs
            }
        outputs = self._run(inputs)
        seconds = time.perf_counter() - begin
        if len(batch) == 1:
            size = 1 if batch[0].is_alone else batch[0].size
            self._on_batch(size, seconds)
            return [BatchResult(outputs, size, seconds)]
        size = sum(request.size for request in batch)
        if any(len(x) != size for x in outputs.values()):
            raise ServingError(
                'INTERNAL', 'outputs and inputs differ in their batch size'
            )
        self._on_batch(size, seconds)
        results, start = [], 0
        for request in batch:
            stop = start + request.size
            chunk = {name: x[start:stop] for name, x in outputs.items()}
            results.append(BatchResult(chunk, size, seconds))
            start = stop
        return results
