"""Prints a table of results, from what the runs themselves wrote.

    python benchmarks/results.py runs/*
    python benchmarks/results.py --write=README.md runs/*

Runs that differ in nothing but the seed become one row: mean and standard deviation
of the test accuracy over the seeds, the median wall time from the first line of
`metrics.jsonl` to the last (set-up, the steps before that first line and export come on
top; interruptions of more than ten minutes are left out), the greatest memory that any
of them took, in units of 2 ** 20 bytes, and the figure that others had, as the head of
the flagfile has it. With --write the table takes the place of the one between the lines
`<!-- results -->` and `<!-- end of results -->` of a file.
"""

import argparse
import collections
import itertools
import json
import os
import re
import statistics
import sys

from estimator_clf.config.config import Config
from estimator_clf.config.early_stopping import EarlyStopping
from estimator_clf.config.metric_goal import MetricGoal

# Settings that say where, not what.
_ASIDE = (
    'seed',
    'model_dir',
    'export_dir',
    'data_dir',
    'warm_start',
    'eval_every',
    'save_every',
)


_INTERRUPTION = 600  # Seconds.

_FLAGFILES = os.path.join(os.path.dirname(__file__), '..', 'launch', 'flagfiles')
_BEGIN, _END = '<!-- results -->\n', '<!-- end of results -->'

_HEAD = (
    '| data | flagfile | accuracy | n | TensorFlow | minutes | MB | known |\n'
    '| --- | --- | --- | --- | --- | --- | --- | --- |\n'
)

# As the heads of flagfiles put it.
_KNOWN = re.compile(r"(?:tutorial|paper)'s figure is ([0-9.]+[0-9])")


def main(directories, file=None):
    """Prints the table of the runs in some directories, or puts it into a file."""
    rows = {}
    for directory in directories:
        if not os.path.exists(os.path.join(directory, 'metrics.jsonl')):
            continue
        run = read(directory)
        if run is None:
            print(f'{directory}: not finished, or a regression', file=sys.stderr)
            continue
        rows.setdefault(run['what'], []).append(run)
    rows = [_row(runs) for runs in rows.values()]
    if not file:
        print(_HEAD + ''.join(rows), end='')
        return
    with open(file, encoding='utf-8') as opened:
        before, begin, rest = opened.read().partition(_BEGIN)
    table, end, after = rest.partition(_END)
    if not begin or not end:
        sys.exit(
            f'{file} must have the lines {_BEGIN.strip()} and {_END}, in this order'
        )
    rows = _merged(table.removeprefix(_HEAD).splitlines(keepends=True), rows)
    with open(file, 'w', encoding='utf-8') as opened:
        opened.write(before + begin + _HEAD + ''.join(rows) + end + after)


def _merged(old, new):
    """Rows of a table, new in the place of old ones, each data's together."""
    rows = {tuple(row.split('|')[1:3]): row for row in [*old, *new]}
    data = list(dict.fromkeys(data for data, _ in rows))
    return [rows[key] for key in sorted(rows, key=lambda key: data.index(key[0]))]


def _row(runs):
    scores = [run['accuracy'] for run in runs]
    spread = f' ± {statistics.stdev(scores):.4f}' if len(scores) > 1 else ''
    versions = ', '.join(sorted({run['tensorflow'] for run in runs}))
    minutes = statistics.median(run['seconds'] for run in runs) / 60
    memory = max(run['memory'] for run in runs)
    return (
        f'| {runs[0]["dataset"]} | {runs[0]["name"]} '
        f'| {statistics.mean(scores):.4f}{spread} | {len(scores)} '
        f'| {versions} | {minutes:.1f} | {f"{memory:.0f}" if memory else ""} '
        f'| {_known(runs[0]["name"])} |\n'
    )


def _known(name):
    """The figure in the head of a flagfile, or ''."""
    path = os.path.join(_FLAGFILES, name.partition(' ')[0])
    if not os.path.isfile(path):
        return ''
    with open(path, encoding='utf-8') as file:
        head = ' '.join(line[1:].strip() for line in file if line.startswith('#'))
    found = _KNOWN.search(head)
    return found[1] if found else ''


def accuracies(directories):
    """Returns the accuracy of each run, in the order of its directory."""
    return [read(directory)['accuracy'] for directory in directories]


def read(directory):
    """Returns what the table needs to know of a run.

    Args:
      directory: a model_dir.

    Returns:
      dict with what (identity but for the seed), dataset, name (its flagfile and the
      flags beside it, or without any its network), accuracy (of the last evaluation on
      test, or validation where there is no test split), tensorflow (version), seconds
      and memory (in units of 2 ** 20 bytes); None for a run that has not come to its
      end, or has no accuracy.
    """
    with open(os.path.join(directory, 'config.json'), encoding='utf-8') as file:
        record = json.load(file)
    with open(os.path.join(directory, 'metrics.jsonl'), encoding='utf-8') as file:
        lines = [json.loads(line) for line in file]
    # Settings that there were none of when the run was made are at their defaults.
    settings = {**Config().to_dict(), **record['settings']}
    with open(os.path.join(directory, 'dataset.json'), encoding='utf-8') as file:
        data = json.load(file)
    name, sizes = data['name'], data['num_examples']
    split = 'test' if 'test' in sizes else 'validation'
    results = [x for x in lines if x['split'] == split and 'accuracy' in x]
    if not results or not _finished(Config.from_dict(settings), sizes, split, results):
        return None
    what = {k: v for k, v in settings.items() if k not in _ASIDE}
    what.update(dataset=name, warm=bool(settings.get('warm_start')))
    return {
        'what': json.dumps(what, sort_keys=True),
        'dataset': name,
        'name': _name(record.get('command', ())) or settings['network'],
        'accuracy': results[-1]['accuracy'],
        'tensorflow': record['versions']['tensorflow'],
        'seconds': _seconds(lines),
        'memory': max(line.get('peak_memory_mb', 0.0) for line in lines),
    }


def _finished(config, sizes, split, results):
    """Whether a run's last evaluation, of those on a split, was at its end."""
    size = sizes[config.train_split]
    if results[-1]['step'] >= config.total_steps(size):
        return True
    patience = config.patience(size)
    if not patience:
        return False
    if split != (config.eval_split or 'validation'):
        # Not what it stops by: evaluated at the end, wherever that is; or before, if
        # --extra_eval_sets says so, of which nothing is known here.
        return True
    goal = MetricGoal(config.best_metric or 'accuracy', config.best_mode)
    early = EarlyStopping(goal, *patience, config.min_delta)
    return any(early.update(line['step'], line) for line in results)


def _seconds(lines):
    """The time from the first line to the last, without long interruptions.

    One is where more than ten minutes have passed between two lines, and more than four
    times what so many steps, or an evaluation on that split, take in the median.
    """
    gaps = collections.defaultdict(list)
    for before, line in itertools.pairwise(lines):
        steps = line['step'] - before['step']
        # Behind an evaluation there may be no step, but there is its line.
        kind = 'train' if steps else line['split']
        gaps[kind].append((line['time'] - before['time'], max(steps, 1)))
    total = 0.0
    for pairs in gaps.values():
        usual = statistics.median(time / steps for time, steps in pairs)
        for time, steps in pairs:
            long = time > max(_INTERRUPTION, 4 * usual * steps)
            total += usual * steps if long else time
    return total


def _joined(command):
    """Yields the words of a command, `--flag value` as `--flag=value`."""
    command = [*command, '-']
    for word, behind in itertools.pairwise(command):
        if not word.startswith('-'):
            continue
        bare = '=' not in word and not behind.startswith('-')
        yield f'{word}={behind}' if bare else word


def _name(command):
    """What a run is called: its flagfile, and the flags given besides."""
    words = []
    for argument in _joined(command):
        flag, _, value = argument.partition('=')
        if flag.lstrip('-') == 'flagfile':
            words = [os.path.basename(value)]
        elif flag.startswith('--') and flag[2:] not in (*_ASIDE, 'noexport'):
            words.append(argument)
    return ' '.join(words)


if __name__ == '__main__':
    _parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _parser.add_argument('--write', help='a file with a table to take the place of')
    _parser.add_argument('directories', nargs='+', help='model_dirs')
    _options = _parser.parse_args()
    main(_options.directories, _options.write)
