"""Tests of benchmarks/evaluation.py."""

import json

import pytest

from benchmarks import evaluation
from tests.helpers.launching import benchmark


@pytest.mark.slow
def test_runs_on_random_images(tmp_path):
    """Few steps: checks the program, not the speed."""
    path = tmp_path / 'out.json'
    tiny = ['--generated=128', '--steps=1', '--evaluations=2', '--repetitions=1']
    printed = benchmark('evaluation', *tiny, f'--json={path}')
    report = json.loads(path.read_text())
    assert [run['program'] for run in report['runs']] == ['here', 'stock']
    for run in report['runs']:
        assert len(run['resident_kilobytes']) == 2
        assert min(run['resident_kilobytes']) > 100_000
        assert 0 < run['evaluation_seconds'] < run['seconds']
        assert run['cpu_seconds'] > 0
    assert report['ratios']['seconds']['n'] == 1
    assert 'the evaluations alone' in printed


def _run(program, seconds, memory=(100,) * 5):
    return {
        'program': program,
        'seconds': seconds,
        'evaluation_seconds': seconds / 2,
        'other_seconds': seconds / 2,
        'cpu_seconds': seconds,
        'resident_kilobytes': list(memory),
    }


def test_ratios_are_of_consecutive_runs():
    times = {'here': (1, 2, 9), 'stock': (2, 8, 10)}
    runs = [_run(p, times[p][n]) for n in range(3) for p in evaluation.PROGRAMS]
    found = evaluation.ratios(runs)['seconds']
    assert found == {'n': 3, 'median': 0.5, 'least': 0.25, 'most': 0.9}
    assert evaluation.ratios(runs[::2]) == {}


def test_memory_is_compared_with_the_fifth_evaluation():
    run = _run('here', 1, [1024, 2048, 3072, 4096, 5120, 9999, 5632])
    found = evaluation.memory(run)
    assert found['settled_mb'] == 5 and found['last_mb'] == 5.5
    assert found['growth'] == pytest.approx(0.1)
