"""What transfer is worth: cats and dogs of CIFAR-10, 100 pictures of each.

    python -m benchmarks.transfer --data_dir=cifar-10-batches-bin --runs=runs/transfer

A network is trained on the eight other classes (cifar10_eight.flags). Then, for each
seed, which also chooses the pictures, two classes are learnt from 100 pictures each:
from scratch, by the last layers alone on top of the eight classes' network (whose
features are computed once), and by going on from there with all layers. All by `python
-m launch.train` with the flagfiles launch/flagfiles/cifar10_catdog_*.flags; what was
trained already is kept. Printed are the rows of `benchmarks/results.py`, and by how
much transfer wins, seed by seed.
"""

import os

from benchmarks import results
from benchmarks.trainings import parser, print_gains, train

SOURCE = 'eight'
KINDS = ('scratch', 'frozen', 'tuned')


def main(arguments=None):
    """Trains what is not trained yet, and prints the results."""
    options = parser(__doc__, 5).parse_args(arguments)
    source = os.path.join(options.runs, SOURCE)
    train(f'cifar10_{SOURCE}', options.data_dir, source, 0, *options.flags)
    folders = {kind: [] for kind in KINDS}
    for seed in range(options.seeds):
        start = source
        for kind in KINDS:
            folder = os.path.join(options.runs, f'{kind}-{seed}')
            flags = list(options.flags)
            if kind != 'scratch':
                flags.append(f'--warm_start={start}')
            if kind == 'frozen':  # Which has to tell two classes apart, not eight.
                flags.append('--warm_start_exclude=logits')
            train(f'cifar10_catdog_{kind}', options.data_dir, folder, seed, *flags)
            folders[kind].append(folder)
            if kind == 'frozen':
                start = folder
    results.main([source, *(folder for kind in KINDS for folder in folders[kind])])
    scratch = results.accuracies(folders['scratch'])
    for kind in KINDS[1:]:
        print_gains(kind, results.accuracies(folders[kind]), 'scratch', scratch)


if __name__ == '__main__':
    main()
