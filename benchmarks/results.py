"""Prints the table of results of the README, from the files of the runs.

    python -m benchmarks.results runs/*
    python -m benchmarks.results --write=README.md runs/*

Runs that differ only in the seed become one row: mean and standard deviation of the
test accuracy over the seeds, the number n of test examples, the median wall time from
the first to the last line of `metrics.jsonl` (without set-up, the steps before that
first line, export, and interruptions of more than ten minutes), the peak memory of all
runs in units of 2 ** 20 bytes, and the reference figure in the header of the flagfile.
--write replaces the table between the lines `<!-- results -->` and
`<!-- end of results -->` of a file.
"""

import argparse
import collections
import itertools
import json
import os
import re
import statistics
import sys

from estimator_clf.config import config_json
from estimator_clf.config.early_stopping import EarlyStopping
from estimator_clf.config.metric_goal import MetricGoal

# Settings that do not distinguish the rows of the table.
_IGNORED = (
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
    '| data | flagfile | accuracy | seeds | n | TensorFlow | minutes | MB | reference '
    '|\n'
    '| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n'
)

# In the headers of flagfiles.
_REFERENCE = re.compile(r"(?:tutorial|paper)'s figure is ([0-9.]+[0-9])")


def main(directories, file=None):
    """Prints the table of the runs in some directories, or writes it into a file."""
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
    """Merges rows of tables: new rows replace old ones; grouped by dataset."""
    rows = {tuple(row.split('|')[1:3]): row for row in [*old, *new]}
    data = list(dict.fromkeys(data for data, _ in rows))
    return [rows[key] for key in sorted(rows, key=lambda key: data.index(key[0]))]


def _row(runs):
    scores = [run['accuracy'] for run in runs]
    spread = f' ± {statistics.stdev(scores):.4f}' if len(scores) > 1 else ''
    versions = ', '.join(sorted({run['tensorflow'] for run in runs}))
    minutes = statistics.median(run['seconds'] for run in runs) / 60
    memory = max(run['memory'] for run in runs)
    sizes = sorted({f'{run["examples"]:,}' for run in runs})
    return (
        f'| {runs[0]["dataset"]} | {runs[0]["name"]} '
        f'| {statistics.mean(scores):.4f}{spread} | {len(scores)} '
        f'| {", ".join(sizes)} '
        f'| {versions} | {minutes:.1f} | {f"{memory:.0f}" if memory else ""} '
        f'| {_reference(runs[0]["name"])} |\n'
    )


def _reference(name):
    """The reference figure in the header of a flagfile, or ''."""
    path = os.path.join(_FLAGFILES, name.partition(' ')[0])
    if not os.path.isfile(path):
        return ''
    with open(path, encoding='utf-8') as file:
        head = ' '.join(line[1:].strip() for line in file if line.startswith('#'))
    found = _REFERENCE.search(head)
    return found[1] if found else ''


def accuracies(directories):
    """Returns the accuracy of each run, in the order of its directory."""
    return [read(directory)['accuracy'] for directory in directories]


def read(directory):
    """Reads the results of a run.

    Args:
      directory: a model_dir.

    Returns:
      dict with what (identity except for the seed), dataset, name (its flagfile and
      further flags, or without a flagfile its network), accuracy (of the last
      evaluation on test, or on validation without a test split), examples (their
      number), tensorflow (version),
      seconds and memory (in units of 2 ** 20 bytes); None for an unfinished run or one
      without accuracy.
    """
    with open(os.path.join(directory, 'config.json'), encoding='utf-8') as file:
        record = json.load(file)
    with open(os.path.join(directory, 'metrics.jsonl'), encoding='utf-8') as file:
        lines = [json.loads(line) for line in file]
    config = config_json.load(directory)
    settings = config.to_flat()
    with open(os.path.join(directory, 'dataset.json'), encoding='utf-8') as file:
        data = json.load(file)
    name, sizes = data['name'], data['num_examples']
    split = 'test' if 'test' in sizes else 'validation'
    results = [x for x in lines if x['split'] == split and 'accuracy' in x]
    if not results or not _finished(config, sizes, split, results):
        return None
    what = {k: v for k, v in settings.items() if k not in _IGNORED}
    what.update(dataset=name, warm=bool(settings.get('warm_start')))
    return {
        'what': json.dumps(what, sort_keys=True),
        'dataset': name,
        'name': _name(record.get('command', ())) or settings['network'],
        'accuracy': results[-1]['accuracy'],
        'examples': results[-1].get('examples', sizes[split]),
        'tensorflow': record['versions']['tensorflow'],
        'seconds': _seconds(lines),
        'memory': max(line.get('peak_memory_mb', 0.0) for line in lines),
    }


def _finished(config, sizes, split, results):
    """Whether the last evaluation on a split was at the end of the run."""
    size = sizes[config.data.train_split]
    if results[-1]['step'] >= config.total_steps(size):
        return True
    patience = config.patience(size)
    if not patience:
        return False
    evaluation = config.evaluation
    if split != (evaluation.eval_split or 'validation'):
        # Not the split of early stopping: evaluated at the end only, unless it is in
        # --extra_eval_sets, which is not checked here.
        return True
    goal = MetricGoal(evaluation.best_metric or 'accuracy', evaluation.best_mode)
    early = EarlyStopping(goal, *patience, evaluation.min_delta)
    return any(early.update(line['step'], line) for line in results)


def _seconds(lines):
    """Time from the first to the last line, without interruptions.

    An interruption is a gap of more than ten minutes and more than four times the
    median for the same number of steps, or for an evaluation on that split.
    """
    gaps = collections.defaultdict(list)
    for before, line in itertools.pairwise(lines):
        steps = line['step'] - before['step']
        # The line of an evaluation may have the step of the line before it.
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
    """Yields the flags of a command, `--flag value` as `--flag=value`."""
    command = [*command, '-']
    for word, following in itertools.pairwise(command):
        if not word.startswith('-'):
            continue
        bare = '=' not in word and not following.startswith('-')
        yield f'{word}={following}' if bare else word


def _name(command):
    """Name of a run: its flagfile and the other flags of its command."""
    words = []
    for argument in _joined(command):
        flag, _, value = argument.partition('=')
        if flag.lstrip('-') == 'flagfile':
            words = [os.path.basename(value)]
        elif flag.startswith('--') and flag[2:] not in (*_IGNORED, 'noexport'):
            words.append(argument)
    return ' '.join(words)


if __name__ == '__main__':
    _parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _parser.add_argument('--write', help='file whose table is replaced')
    _parser.add_argument('directories', nargs='+', help='model_dirs')
    _options = _parser.parse_args()
    main(_options.directories, _options.write)
