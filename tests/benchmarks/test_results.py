"""Tests of benchmarks/results.py."""

import json
import subprocess
import sys

from tests.helpers.launching import ROOT

_SIZES = {'train': 100, 'test': 10}


def _write(
    directory,
    seed,
    accuracies,
    rate=0.1,
    pause=0.0,
    steps=0,
    split='test',
    sizes=_SIZES,
    **settings,
):
    directory.mkdir()
    settings.update(network='cnn', learning_rate=rate, seed=seed)
    settings['max_steps'] = steps or max(1, len(accuracies))
    config = {'settings': settings, 'versions': {'tensorflow': '2.21.0'}}
    if rate == 0.1:
        config['command'] = [
            'launch.train',
            '--flagfile=launch/flagfiles/cifar10_cnn.flags',
        ]
    (directory / 'config.json').write_text(json.dumps(config))
    data = {'name': 'cifar10', 'num_examples': sizes}
    (directory / 'dataset.json').write_text(json.dumps(data))
    lines = [{'step': 0, 'split': 'train', 'time': 100.0}]
    for number, accuracy in enumerate(accuracies, 1):
        time = 100.0 + 60 * number + (number > 3) * pause
        line = {'split': split, 'step': number, 'time': time, 'accuracy': accuracy}
        line['peak_memory_mb'] = 500.0 + seed
        lines.append(line)
    text = ''.join(json.dumps(line) + '\n' for line in lines)
    (directory / 'metrics.jsonl').write_text(text)


def _run(*arguments):
    return subprocess.run(
        [sys.executable, '-m', 'benchmarks.results', *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_runs_that_differ_in_the_seed_are_one_row(tmp_path):
    _write(tmp_path / 'a', 0, [0.1, 0.70])
    _write(tmp_path / 'b', 1, [0.2, 0.72])
    _write(tmp_path / 'c', 0, [0.5], rate=0.2)
    _write(tmp_path / 'unfinished', 2, [])
    done = _run(*sorted(tmp_path.iterdir()))
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()[2:]
    assert rows == [
        '| cifar10 | cifar10_cnn.flags | 0.7100 ± 0.0141 | 2 | 10 | 2.21.0 | 2.0 | 501 '
        '| 0.7353 |',
        '| cifar10 | cnn | 0.5000 | 1 | 10 | 2.21.0 | 1.0 | 500 |  |',
    ]
    assert 'unfinished: not finished' in done.stderr


def test_unfinished_runs_and_regressions_are_excluded(tmp_path):
    _write(tmp_path / 'short', 0, [0.1, 0.9], steps=2)
    _write(tmp_path / 'killed', 1, [0.1, 0.7], steps=3)
    # These lines are of another split than the one that counts.
    sizes = {'train': 100, 'validation': 10}
    _write(tmp_path / 'other', 2, [0.1, 0.2], sizes=sizes)
    _write(tmp_path / 'regression', 3, [0.1])
    lines = (tmp_path / 'regression' / 'metrics.jsonl').read_text()
    lines = lines.replace('accuracy', 'root_mean_squared_error')
    (tmp_path / 'regression' / 'metrics.jsonl').write_text(lines)
    done = _run(*sorted(tmp_path.iterdir()))
    assert done.returncode == 0, done.stderr
    assert [row.split('|')[3].strip() for row in done.stdout.splitlines()[2:]] == [
        '0.9000'
    ]
    for name in ('killed', 'other', 'regression'):
        assert f'{name}: not finished, or a regression' in done.stderr


def test_a_run_with_early_stopping_counts_when_it_has_stopped(tmp_path):
    settings = {'steps': 9, 'early_stopping': '2evals'}
    held = {'sizes': {'train': 100, 'validation': 10}, 'split': 'validation'}
    _write(tmp_path / 'stopped', 0, [0.5, 0.6, 0.6, 0.6], **held, **settings)
    _write(tmp_path / 'killed', 1, [0.5, 0.6, 0.6], **held, **settings)
    _write(tmp_path / 'tested', 2, [0.8], **settings)  # Evaluated at the end only.
    done = _run(*sorted(tmp_path.iterdir()))
    assert 'killed: not finished' in done.stderr
    assert '0.7000 ± 0.1414 | 2 |' in done.stdout


def test_flags_without_an_equals_sign_are_part_of_the_name(tmp_path):
    _write(tmp_path / 'a', 0, [0.5])
    path = tmp_path / 'a' / 'config.json'
    config = json.loads(path.read_text())
    config['command'] = ['launch.train', '--flagfile', 'x/cifar10_cnn.flags']
    config['command'] += ['--augment', 'flip', '--xla', '--seed', '3', '--noexport']
    path.write_text(json.dumps(config))
    assert '| cifar10_cnn.flags --augment=flip --xla |' in _run(tmp_path / 'a').stdout


def test_interruptions_are_excluded_from_the_time(tmp_path):
    for pause, minutes in ((9999.0, 5.0), (500.0, 5 + 500 / 60)):
        directory = tmp_path / str(pause)
        _write(directory, 0, [0.1, 0.2, 0.5, 0.6, 0.70], pause=pause)
        row = _run(directory).stdout.splitlines()[-1]
        assert f'| 0.7000 | 1 | 10 | 2.21.0 | {minutes:.1f} | 500 |' in row


def test_write_merges_rows_into_the_table_of_a_file(tmp_path):
    mnist, cifar10, photos = (
        f'| {data} | {flagfile}.flags | 0.9000 | 1 | 2.15.1 | 0.2 |  |  |'
        for data, flagfile in (
            ('mnist', 'mnist_cnn'),
            ('cifar10', 'cifar10_cnn'),
            ('photos', 'dogscats_cnn'),
        )
    )
    _write(tmp_path / 'a', 0, [0.1, 0.70])
    _write(tmp_path / 'b', 0, [0.5], rate=0.2)
    head = _run(tmp_path / 'a').stdout.splitlines()[:2]
    begin = ['before', '<!-- results -->']
    end = ['<!-- end of results -->', 'after']
    file = tmp_path / 'README.md'

    def written(old, *directories):
        file.write_text('\n'.join([*begin, *old, *end, '']))
        done = _run(
            f'--write={file}', *(tmp_path / directory for directory in directories)
        )
        assert done.returncode == 0, done.stderr
        lines = file.read_text().splitlines()
        assert [lines[:4], lines[-2:]] == [[*begin, *head], end]
        return lines[4:-2]

    ours, other = _run(tmp_path / 'a', tmp_path / 'b').stdout.splitlines()[2:]
    assert written([], 'a') == written([*head, ours], 'a') == [ours]
    # Other rows stay in place; a row of the same flagfile is replaced, and a new one is
    # added to those of the same dataset.
    old = [*head, mnist, cifar10, photos]
    assert written(old, 'a') == [mnist, ours, photos]
    assert written(old, 'b') == [mnist, cifar10, other, photos]
    assert written(old, 'b', 'a') == [mnist, ours, other, photos]

    file.write_text('no table\n')
    done = _run(f'--write={file}', tmp_path / 'a')
    assert done.returncode == 1 and 'must have the lines' in done.stderr
    assert file.read_text() == 'no table\n'
