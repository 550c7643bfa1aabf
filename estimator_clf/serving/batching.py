"""Requests of several clients, run together: what makes serving fast."""

import asyncio
import collections
import contextlib
import dataclasses
import os
import time

import numpy as np

from estimator_clf.serving.status import ServingError


@dataclasses.dataclass(frozen=True)
class Batching:
    """How requests are merged.

    Attributes:
      max_batch_size: most examples in a run; 1 merges nothing.
      max_wait: seconds that a request may wait for company. While every thread is
        busy, requests gather without any wait of this kind.
      threads: runs at a time.
      max_queue: requests that may wait; one more is refused at once.
    """

    max_batch_size: int = 32
    max_wait: float = 0.001
    threads: int = dataclasses.field(default_factory=lambda: os.cpu_count() or 1)
    max_queue: int = 1000


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came of a request.

    Attributes:
      outputs: dict alias -> array.
      batch_size: examples in the run that it was part of.
      seconds: that this run took.
    """

    outputs: dict
    batch_size: int
    seconds: float


@dataclasses.dataclass
class _Waiting:
    inputs: dict
    size: int
    future: asyncio.Future
    since: float
    alone: bool


class Batcher:
    """The queue before one signature of one version.

    All methods belong to the thread of the event loop; `run` is called in the pool's.
    """

    def __init__(self, run, batching, slots, pool, on_batch=lambda size, seconds: None):
        """Makes the queue.

        Args:
          run: function (dict alias -> array) -> dict alias -> array.
          batching: `Batching`.
          slots: `asyncio.Semaphore` of `batching.threads`, shared by all queues.
          pool: `concurrent.futures.Executor` to run in.
          on_batch: function (examples, seconds), called in the pool.
        """
        self._run, self._batching, self._slots = run, batching, slots
        self._pool, self._on_batch = pool, on_batch
        self._queue = collections.deque()
        self._size = 0
        self._more = asyncio.Event()
        self._task = None
        self._running = set()

    async def submit(self, inputs, size):
        """Has a request run, in company.

        Args:
          inputs: dict alias -> array, each of `size` examples.
          size: number of examples; None if they cannot be told apart, which makes the
            request run alone.

        Returns:
          `Answer`.

        Raises:
          ServingError: the queue is full, or the run failed by this request's fault.
        """
        most = self._batching.max_batch_size
        if size is not None and size > most:
            return await self._in_parts(inputs, size, most)
        if len(self._queue) >= self._batching.max_queue:
            raise ServingError(
                'UNAVAILABLE',
                'The batch scheduling queue to which this task was submitted is full',
            )
        loop = asyncio.get_running_loop()
        waiting = _Waiting(
            inputs,
            size or most,  # Alone is as much as a full batch.
            loop.create_future(),
            loop.time(),
            alone=not size,
        )
        self._queue.append(waiting)
        self._size += waiting.size
        self._more.set()
        if self._task is None:
            self._task = loop.create_task(self._serve())
        return await waiting.future

    async def _in_parts(self, inputs, size, most):
        """A request that is larger than a batch, as several."""

        async def part(start):
            stop = min(start + most, size)
            piece = {alias: x[start:stop] for alias, x in inputs.items()}
            try:
                return await self.submit(piece, stop - start)
            except ServingError as error:
                where = f'in examples {start} to {stop - 1} of the request'
                raise ServingError(error.code, f'{where}: {error}') from None

        # One after the other: a large request is not to fill the queue.
        answers = [await part(start) for start in range(0, size, most)]
        outputs = {
            alias: np.concatenate([answer.outputs[alias] for answer in answers])
            for alias in answers[0].outputs
        }
        return Answer(outputs, most, sum(answer.seconds for answer in answers))

    async def _serve(self):
        """Empties the queue."""
        try:
            while self._queue:
                await self._wait_for_company()
                await self._slots.acquire()
                batch = self._take()
                task = asyncio.get_running_loop().create_task(self._execute(batch))
                self._running.add(task)  # The loop itself holds tasks but weakly.
                task.add_done_callback(self._running.discard)
        finally:
            self._task = None

    async def _wait_for_company(self):
        deadline = self._queue[0].since + self._batching.max_wait
        loop = asyncio.get_running_loop()
        while self._size < self._batching.max_batch_size:
            left = deadline - loop.time()
            if left <= 0:
                return
            self._more.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._more.wait(), left)

    def _take(self):
        """Takes what fits into one run, in the order of arrival."""
        batch, size = [], 0
        while self._queue:
            waiting = self._queue[0]
            if batch and (
                waiting.alone
                or batch[0].alone
                or size + waiting.size > self._batching.max_batch_size
            ):
                break
            self._queue.popleft()
            self._size -= waiting.size
            if waiting.future.done():  # The client has given up.
                continue
            batch.append(waiting)
            size += waiting.size
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
        for waiting, result in zip(batch, results, strict=True):
            if waiting.future.done():
                continue
            if isinstance(result, BaseException):
                waiting.future.set_exception(result)
            else:
                waiting.future.set_result(result)

    def _run_all(self, batch):
        """Runs requests together; those at whose fault this fails get an error."""
        try:
            return self._run_merged(batch)
        except ServingError as error:
            if len(batch) == 1:
                return [error]
        # Somebody's image spoils it for all. Halves find it in few runs.
        middle = len(batch) // 2
        return self._run_all(batch[:middle]) + self._run_all(batch[middle:])

    def _run_merged(self, batch):
        begin = time.perf_counter()
        inputs = batch[0].inputs
        if len(batch) > 1:
            inputs = {
                alias: np.concatenate([waiting.inputs[alias] for waiting in batch])
                for alias in inputs
            }
        outputs = self._run(inputs)
        seconds = time.perf_counter() - begin
        if len(batch) == 1:
            size = 1 if batch[0].alone else batch[0].size
            self._on_batch(size, seconds)
            return [Answer(outputs, size, seconds)]
        size = sum(waiting.size for waiting in batch)
        if any(len(x) != size for x in outputs.values()):
            raise ServingError('INTERNAL', 'the outputs are not as many as the inputs')
        self._on_batch(size, seconds)
        answers, start = [], 0
        for waiting in batch:
            stop = start + waiting.size
            part = {alias: x[start:stop] for alias, x in outputs.items()}
            answers.append(Answer(part, size, seconds))
            start = stop
        return answers
