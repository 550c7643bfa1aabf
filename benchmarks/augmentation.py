"""Gain of each augmentation on CIFAR-10, for a small convolutional network.

    python -m benchmarks.augmentation --data_dir=cifar-10-batches-bin --runs=runs/aug

Trains launch/flagfiles/cifar10_cnn.flags with one augmentation at a time, with none and
with all, for several seeds; prints the rows of `benchmarks/results.py` and the gain
over none seed by seed.
"""

import os

from benchmarks import results
from benchmarks.trainings import parser, print_gains, train

KINDS = {
    'none': '',
    'flip': 'flip',
    'zoom': 'zoom(0.1)',
    'brightness': 'brightness(0.2)',
    'all': 'flip, zoom(0.1), brightness(0.2)',
}


def main(arguments=None):
    """Trains the missing runs and prints the results."""
    options = parser(__doc__, 3).parse_args(arguments)
    directories = {kind: [] for kind in KINDS}
    for seed in range(options.seeds):
        for kind, augment in KINDS.items():
            directory = os.path.join(options.runs, f'{kind}-{seed}')
            flags = (f'--augment={augment}', *options.flags)
            train('cifar10_cnn', options.data_dir, directory, seed, *flags)
            directories[kind].append(directory)
    results.main([directory for kind in KINDS for directory in directories[kind]])
    none = results.accuracies(directories['none'])
    for kind in list(KINDS)[1:]:
        print_gains(kind, results.accuracies(directories[kind]), 'none', none)


if __name__ == '__main__':
    main()
