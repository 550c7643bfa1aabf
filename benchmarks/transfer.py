"""Gain of transfer learning: cats and dogs of CIFAR-10, 100 images of each.

    python -m benchmarks.transfer --data_dir=cifar-10-batches-bin --runs=runs/transfer

A network is trained on the eight other classes (cifar10_eight.flags). Then, for each
seed, which also selects the images, two classes are trained on 100 images each: from
scratch, the last layers alone on cached features of the first network, and all layers
starting from there. All by `python -m launch.train` with the flagfiles
launch/flagfiles/cifar10_catdog_*.flags; finished runs are reused. Prints the rows of
`benchmarks/results.py` and the gain of transfer seed by seed.
"""

import os

from benchmarks import results
from benchmarks.trainings import parser, print_gains, train

SOURCE = 'eight'
KINDS = ('scratch', 'frozen', 'tuned')


def main(arguments=None):
    """Trains the missing runs and prints the results."""
    options = parser(__doc__, 5).parse_args(arguments)
    source = os.path.join(options.runs, SOURCE)
    train(f'cifar10_{SOURCE}', options.data_dir, source, 0, *options.flags)
    directories = {kind: [] for kind in KINDS}
    for seed in range(options.seeds):
        start = source
        for kind in KINDS:
            directory = os.path.join(options.runs, f'{kind}-{seed}')
            flags = list(options.flags)
            if kind != 'scratch':
                flags.append(f'--warm_start={start}')
            if kind == 'frozen':  # Two classes, not eight.
                flags.append('--warm_start_exclude=logits')
            train(f'cifar10_catdog_{kind}', options.data_dir, directory, seed, *flags)
            directories[kind].append(directory)
            if kind == 'frozen':
                start = directory
    results.main(
        [source, *(directory for kind in KINDS for directory in directories[kind])]
    )
    scratch = results.accuracies(directories['scratch'])
    for kind in KINDS[1:]:
        print_gains(kind, results.accuracies(directories[kind]), 'scratch', scratch)


if __name__ == '__main__':
    main()
