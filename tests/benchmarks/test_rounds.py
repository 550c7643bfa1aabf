"""Tests of benchmarks/rounds.py."""

import sys

import pytest

from benchmarks import rounds


def _runs(times):
    return [
        {
            'workload': 'cnn',
            'program': program,
            'images_per_second': times[program][n],
        }
        for n in range(3)
        for program in times
    ]


def test_ratios_are_within_a_round():
    runs = _runs({'ours': (1, 2, 9), 'stock': (2, 8, 10), 'keras': (1, 1, 1)})
    assert rounds.speeds(runs)['cnn']['ours'] == rounds.summary([1, 2, 9])
    found = rounds.ratios(runs)['cnn']
    assert set(found) == {'stock', 'keras'}
    assert found['stock'] == {'n': 3, 'median': 0.5, 'least': 0.25, 'most': 0.9}
    assert rounds.ratios(_runs({'stock': (1, 1, 1)})) == {'cnn': {}}


def test_pytorch_is_skipped_without_a_python_for_it():
    workloads = {'cnn': ('ours', 'keras', 'torch', 'torch_compile')}
    parser = rounds.parser('', workloads, 1.0)
    options = parser.parse_args([])
    assert rounds.programs(options, workloads, 'cnn') == ['ours', 'keras']
    options = parser.parse_args(['--torch_python=p'])
    assert rounds.programs(options, workloads, 'cnn') == list(workloads['cnn'])
    options = parser.parse_args(['--torch_python=p', '--programs=torch'])
    assert rounds.programs(options, workloads, 'cnn') == ['torch']


def _program(workload, program):
    speed = {'ours': 6, 'theirs': 3}[program]
    text = f'print("log"); print(\'{{"images_per_second": {speed}}}\')'
    return [sys.executable, '-c', text]


def test_programs_run_in_turns(capsys):
    workloads = {'a': ('ours', 'theirs'), 'b': ('ours',)}
    options = rounds.parser('', workloads, 1.0).parse_args(['--repetitions=2'])
    runs = rounds.run_all(options, workloads, _program)
    order = [(run['workload'], run['program']) for run in runs]
    assert order == [('a', 'ours'), ('a', 'theirs'), ('b', 'ours')] * 2
    assert rounds.ratios(runs)['a']['theirs']['median'] == 2
    assert capsys.readouterr().out.count('\n') == 6


def test_a_failing_program_ends_the_benchmark():
    with pytest.raises(SystemExit, match='failed'):
        rounds.in_a_process([sys.executable, '-c', 'raise SystemExit(3)'])


def test_an_unknown_workload_is_refused(capsys):
    parser = rounds.parser('', {'cnn': ('ours',), 'linear': ('ours',)}, 1.0)
    assert parser.parse_args(['--workloads=linear']).workloads == 'linear'
    with pytest.raises(SystemExit):
        parser.parse_args(['--workloads=cnn,foo'])
    assert 'must be some of cnn,linear' in capsys.readouterr().err
