"""What transfer is worth: cats and dogs of CIFAR-10, 100 pictures of each.

    python -m benchmarks.transfer --data_dir=cifar-10-batches-bin --runs=runs/transfer

A network is trained on the eight other classes (cifar10_eight.flags). Then, for each
seed, which also chooses the pictures, two classes are learnt from 100 pictures each:
from scratch, by the last layer alone on top of the eight classes' network, and by going
on from there with all layers. All by `python -m launch.train` with the flagfiles
launch/flagfiles/cifar10_catdog_*.flags; what was trained already is kept. Printed are
the rows of `benchmarks/results.py`, and by how much transfer wins, seed by seed.
"""

import argparse
import os
import statistics
import subprocess
import sys

from benchmarks import results

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

SOURCE = 'eight'
KINDS = ('scratch', 'frozen', 'tuned')


def main(arguments):
    """Trains what is not trained yet, and prints the results."""
    options = parser().parse_args(arguments)
    source = os.path.join(options.runs, SOURCE)
    train(options, f'cifar10_{SOURCE}', source, 0)
    folders = {kind: [] for kind in KINDS}
    for seed in range(options.seeds):
        start = source
        for kind in KINDS:
            folder = os.path.join(options.runs, f'{kind}-{seed}')
            warm = () if kind == 'scratch' else (f'--warm_start={start}',)
            train(options, f'cifar10_catdog_{kind}', folder, seed, *warm)
            folders[kind].append(folder)
            if kind == 'frozen':
                start = folder
    results.main([source, *(folder for kind in KINDS for folder in folders[kind])])
    accuracy = {
        kind: [results.read(folder)['accuracy'] for folder in folders[kind]]
        for kind in KINDS
    }
    for kind in KINDS[1:]:
        gains = [
            ours - theirs
            for ours, theirs in zip(accuracy[kind], accuracy['scratch'], strict=True)
        ]
        print(
            f'{kind} over scratch: median {statistics.median(gains):+.4f}, '
            f'from {min(gains):+.4f} to {max(gains):+.4f}, n = {len(gains)}'
        )


def train(options, flagfile, model_dir, seed, *flags):
    """Runs a flagfile to its end, going on where it was stopped."""
    command = [sys.executable, '-m', 'launch.train']
    command += [f'--flagfile=launch/flagfiles/{flagfile}.flags']
    command += [f'--data_dir={os.path.abspath(options.data_dir)}']
    command += [f'--model_dir={os.path.abspath(model_dir)}', f'--seed={seed}']
    command += ['--noexport', *flags, *options.flags]
    print(' '.join(command), file=sys.stderr)
    done = subprocess.run(command, cwd=ROOT, stdout=sys.stderr)
    if done.returncode:
        sys.exit(f'the run in {model_dir} failed with {done.returncode}')


def parser():
    """The program's arguments; what it does not know goes to `launch.train`."""
    found = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument('--data_dir', required=True, help='cifar-10-batches-bin')
    found.add_argument('--runs', required=True, help='where the runs are kept')
    found.add_argument('--seeds', type=int, default=5, help='number of seeds')
    found.add_argument(
        'flags', nargs='*', help='behind --: more flags for all trainings'
    )
    return found


if __name__ == '__main__':
    main(sys.argv[1:])
