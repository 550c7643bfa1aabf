"""Checks a dataset before training: reads every file and decodes every image.

    python -m launch.check_data --dataset=image_folder --data_dir=DIR

Finds corrupt files, duplicates across splits or classes, empty classes, labels out of
range, unusual sizes and more; see docs/data_problems.md. Changes nothing. The exit code
is 1 if it finds an error, 0 if it finds warnings and notes only.
"""

import os
import shlex

from absl import flags as absl_flags

from launch import app, flags
from launch.parsing import path_flags

FLAGS = flags.FLAGS

# Settings of a run that select the data to read.
_SETTINGS = (
    'dataset',
    'data_dir',
    'image_size',
    'channels',
    'validation_split',
    'max_image_pixels',
    'train_split',
    'eval_split',
)
_OWN = ('report', 'examples', 'workers')

# Maximum rows of the table of classes: of more, the largest and the smallest.
_CLASSES = 24


def define_flags() -> None:
    """Defines the flags of this program."""
    flags.define_config(_SETTINGS)
    path_flags.define_path(
        'report', '', 'File for all findings, one JSON object per line.'
    )
    absl_flags.DEFINE_integer(
        'examples', 5, 'Number of findings of each kind to print.', lower_bound=1
    )
    absl_flags.DEFINE_integer(
        'workers', None, 'Number of threads. Default: one per core.', lower_bound=1
    )


def main(arguments: list[str]) -> int:
    """Checks as the flags say."""
    from estimator_clf.training.data.datasets import source_args

    app.no_arguments(arguments)
    args = source_args(flags.config_from_flags())
    # TensorFlow's decoders would log what the report has, with file names.
    if os.environ['TF_CPP_MIN_LOG_LEVEL'] == '2':
        os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'

    from input.validate import Report, check_data, lines_file
    from launch.output.progress import Progress

    progress = Progress()
    with lines_file(FLAGS.report) as file:
        report = Report(file, FLAGS.examples)
        try:
            counts = check_data(args, report, workers=FLAGS.workers, progress=progress)
        finally:
            progress.close()
        summary = {
            'kind': 'summary',
            'classes': counts,
            'kinds': dict(report.counts),
            'levels': report.levels(),
        }
        report.write(summary)
    _print(report, counts)
    return 1 if report.levels()['error'] else 0


def _print(report, counts):
    if counts:
        print(_class_table(counts, report.class_names) + '\n')
    for name in report.kinds():
        print(_kind_table(report, name) + '\n')
    if report.counts and not FLAGS.report:
        print('Write all findings to a file with --report=check.jsonl')
    elif report.counts:
        worst = next(level for level, n in report.levels().items() if n)
        print(f'All {worst}s, one per line, with all names:')
        print(f'  grep \'"level": "{worst}"\' {shlex.quote(FLAGS.report)}')
    print(_verdict(report, sum(sum(n.values()) for n in counts.values())))


def _class_table(counts, class_names):
    """Table of the examples per class and split; the extremes of many classes."""
    from estimator_clf.core.class_names import natural_order
    from launch.output.terminal import table

    classes = list(dict.fromkeys(c for split in counts.values() for c in split))
    splits = list(counts)
    first = counts[splits[0]]
    labels = {name: number for number, name in enumerate(class_names)}
    shown = sorted(natural_order(classes), key=lambda n: labels.get(n, len(labels)))
    if len(classes) > _CLASSES:
        by_size = sorted(classes, key=lambda name: -first.get(name, 0))
        shown = [*by_size[: _CLASSES // 2], None, *by_size[-(_CLASSES // 2) :]]
    rows = []
    for name in shown:
        if name is None:
            more = f'… {len(classes) - _CLASSES} more'
            rows.append([more, '', *('…' for _ in splits)])
        else:
            label = labels.get(name, '')
            numbers = (counts[s].get(name, 0) for s in splits)
            rows.append([_safe(name), label, *numbers])
    totals = [sum(counts[s].values()) for s in splits]
    return table(['class', 'label', *splits], [*rows, ['all', '', *totals]])


def _kind_table(report, name):
    from input.validate import KINDS
    from launch.output.terminal import table

    kind, count, first = KINDS[name], report.counts[name], report.first[name]
    rows = [[_safe(finding.where), _safe(finding.detail)] for finding in first]
    if count > len(first):
        rows.append([f'… and {count - len(first)} more', ''])
    lines = table(['where', 'what'], rows).splitlines()
    head = f'{kind.level}: {kind.title} ({count}, {name})'
    return '\n'.join([head, *(f'  {x}' for x in lines), f'  To do: {kind.advice}.'])


def _verdict(report, examples):
    levels = report.levels()
    facts = ', '.join(
        f'{n} {level}{"" if n == 1 else "s"}' for level, n in levels.items()
    )
    if levels['error']:
        text = 'to be fixed before training'
    elif levels['warning']:
        text = 'can be trained on; see the warnings'
    else:
        text = 'ready for training'
    return f'{examples} examples: {facts}; {text}.'


def _safe(text):
    """Printable text of a name with any bytes."""
    return ''.join(c if c.isprintable() else '\ufffd' for c in text)


def _help():
    own = '\n'.join(map(flags.flag_help, _OWN))
    return f'{__doc__}\n{own}\n\n' + flags.config_help(_SETTINGS)


def run() -> None:
    """Runs the program on `sys.argv` and exits."""
    define_flags()
    app.run(main, _help)


if __name__ == '__main__':
    run()
