"""Requests are merged into batches, and split where one of them is invalid."""

import asyncio
import concurrent.futures
import threading

import numpy as np
import pytest

from estimator_clf.serving.batching import Batcher, BatchingOptions
from estimator_clf.serving.errors import ServingError, invalid_argument


class Model:
    """Doubles numbers; fails for negative ones."""

    def __init__(self):
        self.runs = []
        self.go = threading.Event()
        self.go.set()

    def run(self, inputs):
        assert self.go.wait(20)
        x = inputs['x']
        self.runs.append(x.tolist())
        if (x < 0).any():
            raise invalid_argument(f'{x[x < 0][0]} is negative')
        return {'y': 2 * x, 'z': x[:, None] + 1}


def run_scenario(scenario, **options):
    """Runs `scenario(batcher, model)` in its own event loop."""
    options = {'max_batch_size': 4, 'max_wait': 0.2, 'threads': 1, **options}

    async def main():
        model, batching = Model(), BatchingOptions(**options)
        with concurrent.futures.ThreadPoolExecutor(batching.threads) as pool:
            slots = asyncio.Semaphore(batching.threads)
            batcher = Batcher(model.run, batching, slots, pool)
            await asyncio.wait_for(scenario(batcher, model), 30)
        return model

    return asyncio.run(main())


def submit(batcher, *values):
    return batcher.submit({'x': np.array(values, np.int64)}, len(values))


def test_concurrent_requests_share_a_run():
    async def scenario(batcher, model):
        answers = await asyncio.gather(
            submit(batcher, 1, 2), submit(batcher, 3), submit(batcher, 4)
        )
        assert [a.outputs['y'].tolist() for a in answers] == [[2, 4], [6], [8]]
        assert [a.outputs['z'].shape for a in answers] == [(2, 1), (1, 1), (1, 1)]
        assert {a.batch_size for a in answers} == {4}

    assert run_scenario(scenario, max_wait=10).runs == [[1, 2, 3, 4]]


def test_single_request_waits_only_max_wait():
    async def scenario(batcher, model):
        answer = await submit(batcher, 1)
        assert answer.outputs['y'].tolist() == [2]

    run_scenario(scenario, max_wait=0.01)


def test_requests_accumulate_while_all_threads_are_busy():
    async def scenario(batcher, model):
        model.go.clear()
        first = asyncio.create_task(submit(batcher, 1))
        await asyncio.sleep(0.1)
        rest = [asyncio.create_task(submit(batcher, n)) for n in range(2, 8)]
        await asyncio.sleep(0.1)
        model.go.set()
        await asyncio.gather(first, *rest)

    runs = run_scenario(scenario, max_wait=0).runs
    assert runs[0] == [1] and [2, 3, 4, 5] in runs and [6, 7] in runs


def test_request_is_not_split_to_fill_a_run():
    async def scenario(batcher, model):
        await asyncio.gather(submit(batcher, 1, 2, 3), submit(batcher, 4, 5))

    assert run_scenario(scenario).runs == [[1, 2, 3], [4, 5]]


def test_invalid_request_fails_alone():
    async def scenario(batcher, model):
        requests = [submit(batcher, n) for n in (1, 2, -3, 4)]
        answers = await asyncio.gather(*requests, return_exceptions=True)
        assert [a.outputs['y'][0] for a in answers[:2]] == [2, 4]
        assert str(answers[2]) == '-3 is negative'
        assert answers[3].outputs['y'][0] == 8

    # Bisection: the valid half runs once, the invalid one is split again.
    assert run_scenario(scenario, max_wait=10).runs == [
        [1, 2, -3, 4],
        [1, 2],
        [-3, 4],
        [-3],
        [4],
    ]


def test_two_invalid_requests_each_get_their_own_error():
    async def scenario(batcher, model):
        requests = [submit(batcher, n) for n in (-1, 2, 3, -4)]
        answers = await asyncio.gather(*requests, return_exceptions=True)
        assert [str(answers[n]) for n in (0, 3)] == ['-1 is negative', '-4 is negative']
        assert [answers[n].outputs['y'][0] for n in (1, 2)] == [4, 6]

    run_scenario(scenario, max_wait=10)


def test_request_larger_than_a_batch_is_split():
    async def scenario(batcher, model):
        answer = await submit(batcher, *range(10))
        assert answer.outputs['y'].tolist() == [2 * n for n in range(10)]
        with pytest.raises(ServingError, match='examples 4 to 6 of the request: -6'):
            await submit(batcher, 0, 1, 2, 3, 4, 5, -6)

    runs = run_scenario(scenario, max_wait=0).runs
    assert runs[:3] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_unmergeable_request_runs_alone():
    async def scenario(batcher, model):
        alone = batcher.submit({'x': np.array([7, 8])}, None)
        empty = batcher.submit({'x': np.zeros([0], np.int64)}, 0)
        await asyncio.gather(submit(batcher, 1), alone, submit(batcher, 2), empty)

    assert sorted(run_scenario(scenario).runs) == [[], [1], [2], [7, 8]]


def test_without_batching_each_request_runs_alone():
    async def scenario(batcher, model):
        await asyncio.gather(*(submit(batcher, n) for n in range(5)))

    runs = run_scenario(scenario, max_batch_size=1, max_wait=10).runs
    assert runs == [[0], [1], [2], [3], [4]]


def test_full_queue_refuses_immediately():
    async def scenario(batcher, model):
        model.go.clear()
        requests = [asyncio.create_task(submit(batcher, n)) for n in range(3)]
        await asyncio.sleep(0.1)
        with pytest.raises(ServingError, match='queue is full') as caught:
            await asyncio.gather(*(submit(batcher, n) for n in range(9)))
        assert caught.value.http == 503
        model.go.set()
        await asyncio.gather(*requests)

    run_scenario(scenario, max_wait=0, max_queue=3)


def test_canceled_request_does_not_run():
    async def scenario(batcher, model):
        model.go.clear()
        first = asyncio.create_task(submit(batcher, 1))
        await asyncio.sleep(0.1)
        canceled, active = (asyncio.create_task(submit(batcher, n)) for n in (2, 3))
        await asyncio.sleep(0.1)
        canceled.cancel()
        await asyncio.sleep(0)
        model.go.set()
        await asyncio.gather(first, active)

    assert run_scenario(scenario, max_wait=0).runs == [[1], [3]]


def test_unexpected_exception_is_raised_to_every_request():
    async def scenario(batcher, model):
        model.run = None
        batcher._run = lambda inputs: 1 / 0
        for number in (1, 2):  # The queue keeps working.
            with pytest.raises(ZeroDivisionError):
                await submit(batcher, number)

    run_scenario(scenario, max_wait=0)
