"""Cost of evaluation during training: here, and with stock Estimator's loop.

    python -m benchmarks.evaluation --data_dir=cifar-10-batches-bin --json=out.json

Trains the `cnn` of launch/flagfiles/cifar10_cnn.flags for a few steps and evaluates the
whole test split, 20 times, alternating between `estimator_clf.training.trainer`
("here") and `estimator.train_and_evaluate` of the same TensorFlow ("stock"), each in
its own process. Both have the same model_fn, seed, order of examples, checkpoints and
evaluations; their last accuracies must be equal. Importing TensorFlow and reading the
data are not timed. Images for TensorBoard (--eval_plots) are off, as stock has none.

Prints the ratios here / stock of each pair of runs (n, median, min and max) in total
wall time, in the evaluations alone (including their graph) and in the rest, in CPU
time, which depends less on other work on the machine, and resident memory after each
evaluation. Requires an idle machine.

Memory over a longer run: `--programs=here --evaluations=50 --repetitions=1`.
"""

import argparse
import json
import sys

from benchmarks import rounds
from estimator_clf.core import provenance

_COMMAND = (sys.executable, '-m', 'benchmarks.evaluation')

PROGRAMS = ('here', 'stock')

PARTS = {
    'seconds': 'training and evaluation',
    'evaluation_seconds': 'the evaluations alone',
    'other_seconds': 'the rest: training, checkpoints',
    'cpu_seconds': 'training and evaluation, CPU time of all threads',
}

# Memory is compared with that after this evaluation; before it, memory still grows for
# other reasons. With fewer evaluations the comparison is meaningless.
SETTLED = 5


def main(arguments):
    """Runs all programs in turns and prints their times."""
    options = parser().parse_args(arguments)
    if options.child:
        from benchmarks.evaluation_run import measure  # Takes seconds.

        print(json.dumps(measure(options)))
        return
    programs = options.programs.split(',')
    if not set(programs) <= set(PROGRAMS):
        sys.exit(f'--programs must be of {", ".join(PROGRAMS)}')
    runs = []
    for number in range(options.repetitions):
        for program in programs:
            command = [*_COMMAND, *arguments, f'--child={program}']
            run = {'program': program, **rounds.in_a_process(command)}
            runs.append(run)
            print(
                f'{number + 1}/{options.repetitions} {program}: '
                f'{run["seconds"]:.1f} s, evaluation '
                f'{run["evaluation_seconds"]:.1f} s; accuracy {run["accuracy"]:.4f}',
                flush=True,
            )
    if len({run['accuracy'] for run in runs}) != 1:
        sys.exit('the programs are not equivalent: their last accuracies differ')
    report = {
        'settings': vars(options),
        **provenance.collect(),
        'ratios': ratios(runs),
        'memory': [memory(run) for run in runs],
        'runs': runs,
    }
    print_report(report)
    rounds.write(options, report)


def parser():
    """Returns the parser of the command line."""
    made = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    made.add_argument('--data_dir', default='', help='CIFAR-10, the binary files')
    made.add_argument('--generated', type=int, help='number of random images instead')
    made.add_argument('--evaluations', type=int, default=20)
    made.add_argument('--steps', type=int, default=20, help='between evaluations')
    made.add_argument('--repetitions', type=int, default=5, help='runs of each')
    made.add_argument('--programs', default=','.join(PROGRAMS))
    made.add_argument('--json', default='', help='file for everything measured')
    made.add_argument('--child', choices=PROGRAMS, help=argparse.SUPPRESS)
    return made


def ratios(runs):
    """Compares consecutive runs in pairs.

    Returns:
      dict part of the time -> dict with n, median, least, most of here / stock.
    """
    here, stock = ([r for r in runs if r['program'] == p] for p in PROGRAMS)
    found = {}
    for part in PARTS:
        pairs = [a[part] / b[part] for a, b in zip(here, stock, strict=False)]
        if pairs:
            found[part] = rounds.summary(pairs)
    return found


def memory(run):
    """Returns the growth of a run's resident memory, in MB and relative."""
    kilobytes = run['resident_kilobytes']
    first, last = kilobytes[min(SETTLED, len(kilobytes)) - 1], kilobytes[-1]
    return {
        'program': run['program'],
        'settled_mb': first / 1024,
        'last_mb': last / 1024,
        'growth': last / first - 1,
    }


def print_report(report):
    """Prints the ratios and the memory."""
    print('\nhere / stock            n  median  least   most')
    for part, found in report['ratios'].items():
        print(
            f'{found["n"]:25} {found["median"]:7.3f} {found["least"]:6.3f} '
            f'{found["most"]:6.3f}  {PARTS[part]}'
        )
    print(f'\nresident memory, MB, after evaluation {SETTLED} and the last')
    for entry in report['memory']:
        verdict = 'within 3 %' if entry['growth'] < 0.03 else 'NOT within 3 %'
        print(
            f'{entry["program"]:6} {entry["settled_mb"]:7.1f} {entry["last_mb"]:7.1f} '
            f'{entry["growth"]:+7.1%}  {verdict}'
        )


if __name__ == '__main__':
    main(sys.argv[1:])
