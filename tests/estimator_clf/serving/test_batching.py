"""Requests are run together, and apart where one of them is bad."""

import asyncio
import concurrent.futures
import threading

import numpy as np
import pytest

from estimator_clf.serving.batching import Batcher, Batching
from estimator_clf.serving.status import ServingError, invalid


class Model:
    """Doubles numbers; negative ones are an error, and spoil the run."""

    def __init__(self):
        self.runs = []
        self.go = threading.Event()
        self.go.set()

    def run(self, inputs):
        assert self.go.wait(20)
        x = inputs['x']
        self.runs.append(x.tolist())
        if (x < 0).any():
            raise invalid(f'{x[x < 0][0]} is negative')
        return {'y': 2 * x, 'z': x[:, None] + 1}


def play(scenario, **options):
    """Runs `scenario(batcher, model)` in a loop of its own."""
    options = {'max_batch_size': 4, 'max_wait': 0.2, 'threads': 1, **options}

    async def main():
        model, batching = Model(), Batching(**options)
        with concurrent.futures.ThreadPoolExecutor(batching.threads) as pool:
            slots = asyncio.Semaphore(batching.threads)
            batcher = Batcher(model.run, batching, slots, pool)
            await asyncio.wait_for(scenario(batcher, model), 30)
        return model

    return asyncio.run(main())


def ask(batcher, *values):
    return batcher.submit({'x': np.array(values, np.int64)}, len(values))


def test_requests_share_a_run():
    async def scenario(batcher, model):
        answers = await asyncio.gather(
            ask(batcher, 1, 2), ask(batcher, 3), ask(batcher, 4)
        )
        assert [a.outputs['y'].tolist() for a in answers] == [[2, 4], [6], [8]]
        assert [a.outputs['z'].shape for a in answers] == [(2, 1), (1, 1), (1, 1)]
        assert {a.batch_size for a in answers} == {4}

    assert play(scenario, max_wait=10).runs == [[1, 2, 3, 4]]


def test_a_lonely_request_does_not_wait_for_ever():
    async def scenario(batcher, model):
        answer = await ask(batcher, 1)
        assert answer.outputs['y'].tolist() == [2]

    play(scenario, max_wait=0.01)


def test_requests_gather_while_all_threads_are_busy():
    async def scenario(batcher, model):
        model.go.clear()
        first = asyncio.create_task(ask(batcher, 1))
        await asyncio.sleep(0.1)
        rest = [asyncio.create_task(ask(batcher, n)) for n in range(2, 8)]
        await asyncio.sleep(0.1)
        model.go.set()
        await asyncio.gather(first, *rest)

    runs = play(scenario, max_wait=0).runs
    assert runs[0] == [1] and [2, 3, 4, 5] in runs and [6, 7] in runs


def test_a_request_is_not_torn_apart_to_fill_a_run():
    async def scenario(batcher, model):
        await asyncio.gather(ask(batcher, 1, 2, 3), ask(batcher, 4, 5))

    assert play(scenario).runs == [[1, 2, 3], [4, 5]]


def test_a_bad_request_fails_alone():
    async def scenario(batcher, model):
        asked = [ask(batcher, n) for n in (1, 2, -3, 4)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [a.outputs['y'][0] for a in answers[:2]] == [2, 4]
        assert str(answers[2]) == '-3 is negative'
        assert answers[3].outputs['y'][0] == 8

    # Halves: the good half at once, the bad one once more.
    assert play(scenario, max_wait=10).runs == [
        [1, 2, -3, 4],
        [1, 2],
        [-3, 4],
        [-3],
        [4],
    ]


def test_two_bad_requests_each_get_their_own_error():
    async def scenario(batcher, model):
        asked = [ask(batcher, n) for n in (-1, 2, 3, -4)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [str(answers[n]) for n in (0, 3)] == ['-1 is negative', '-4 is negative']
        assert [answers[n].outputs['y'][0] for n in (1, 2)] == [4, 6]

    play(scenario, max_wait=10)


def test_a_request_larger_than_a_run_is_cut():
    async def scenario(batcher, model):
        answer = await ask(batcher, *range(10))
        assert answer.outputs['y'].tolist() == [2 * n for n in range(10)]
        with pytest.raises(ServingError, match='examples 4 to 6 of the request: -6'):
            await ask(batcher, 0, 1, 2, 3, 4, 5, -6)

    runs = play(scenario, max_wait=0).runs
    assert runs[:3] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_what_cannot_be_merged_runs_alone():
    async def scenario(batcher, model):
        alone = batcher.submit({'x': np.array([7, 8])}, None)
        empty = batcher.submit({'x': np.zeros([0], np.int64)}, 0)
        await asyncio.gather(ask(batcher, 1), alone, ask(batcher, 2), empty)

    assert sorted(play(scenario).runs) == [[], [1], [2], [7, 8]]


def test_without_batching_each_request_runs_alone():
    async def scenario(batcher, model):
        await asyncio.gather(*(ask(batcher, n) for n in range(5)))

    runs = play(scenario, max_batch_size=1, max_wait=10).runs
    assert runs == [[0], [1], [2], [3], [4]]


def test_a_full_queue_refuses_at_once():
    async def scenario(batcher, model):
        model.go.clear()
        asked = [asyncio.create_task(ask(batcher, n)) for n in range(3)]
        await asyncio.sleep(0.1)
        with pytest.raises(ServingError, match='queue .* is full') as caught:
            await asyncio.gather(*(ask(batcher, n) for n in range(9)))
        assert caught.value.http == 503
        model.go.set()
        await asyncio.gather(*asked)

    play(scenario, max_wait=0, max_queue=3)


def test_a_client_that_has_given_up_takes_no_room():
    async def scenario(batcher, model):
        model.go.clear()
        first = asyncio.create_task(ask(batcher, 1))
        await asyncio.sleep(0.1)
        gone, there = (asyncio.create_task(ask(batcher, n)) for n in (2, 3))
        await asyncio.sleep(0.1)
        gone.cancel()
        await asyncio.sleep(0)
        model.go.set()
        await asyncio.gather(first, there)

    assert play(scenario, max_wait=0).runs == [[1], [3]]


def test_a_bug_in_the_model_is_told_to_all():
    async def scenario(batcher, model):
        model.run = None
        batcher._run = lambda inputs: 1 / 0
        for number in (1, 2):  # The queue lives on.
            with pytest.raises(ZeroDivisionError):
                await ask(batcher, number)

    play(scenario, max_wait=0)
