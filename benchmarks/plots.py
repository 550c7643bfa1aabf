"""Plots the results of the benchmarks, from their JSON.

    python -m benchmarks.plots --training=training.json --input=input.json --output=docs

Writes performance-training.png and performance-input.png: a bar per peer, for the speed
of ours relative to it (median; the line spans min to max), and a mark at equal speed.
"""

import argparse
import json
import os

import matplotlib

matplotlib.use('Agg')

from matplotlib import pyplot  # noqa: E402  After the backend is set.

NAMES = {
    'stock': 'stock Estimator',
    'keras': 'Keras 3',
    'keras_jit': 'Keras 3, jit_compile',
    'keras_reshuffled': 'Keras, cached by image and shuffled',
    'torch': 'PyTorch',
    'torch_compile': 'PyTorch, torch.compile',
    'torch_0': 'PyTorch DataLoader, no worker',
    'decode': 'decode_jpeg alone',
    'tutorial': "the guides' input_fn",
    'tutorial_parallel': "the guides' input_fn, num_parallel_calls",
}
WORKLOADS = {
    'cifar': 'CIFAR-10',
    'linear': 'MNIST linear',
    'cnn': 'MNIST cnn',
    'crop': 'random-resized crop',
    'resize': 'resize to 224',
    'cached': 'resize to 224, cached',
}
_TICKS = (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50)


def main(arguments=None):
    """Plots the reports that are given."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument('--training', help='of benchmarks.training')
    options.add_argument('--input', help='of benchmarks.input')
    options.add_argument('--output', required=True, help='directory')
    options = options.parse_args(arguments)
    for kind in ('training', 'input'):
        path = getattr(options, kind)
        if path:
            with open(path, encoding='utf-8') as file:
                report = json.load(file)
            draw(report, os.path.join(options.output, f'performance-{kind}.png'))


def draw(report, path):
    """Plots the ratios of a report into a PNG file.

    Args:
      report: dict with 'ratios', see `rounds.ratios`.
      path: of the image.
    """
    rows = [
        (f'{WORKLOADS.get(workload, workload)}: {_name(peer)}', found)
        for workload, peers in report['ratios'].items()
        for peer, found in peers.items()
    ]
    figure, axes = pyplot.subplots(figsize=(9, 0.8 + 0.34 * len(rows)))
    for place, (_, found) in enumerate(rows):
        middle = found['median']
        color = '#2a7f62' if middle >= 1 else '#b5651d'
        axes.barh(place, middle - 1, left=1, color=color, height=0.6)
        axes.plot([found['least'], found['most']], [place, place], 'k-', lw=1)
        axes.annotate(
            f'{middle:.2f}',
            (max(found['most'], 1), place),
            xytext=(4, 0),
            textcoords='offset points',
            va='center',
            fontsize=8,
        )
    axes.axvline(1, color='black', lw=1)
    axes.set_xscale('log')
    axes.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=9)
    axes.invert_yaxis()
    low = min(1, *(found['least'] for _, found in rows)) / 1.1
    high = max(1, *(found['most'] for _, found in rows)) * 1.3  # Space for its number.
    ticks = [t for t in _TICKS if low <= t <= high]
    axes.set_xticks(ticks, [f'{tick:g}' for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(low, high)
    axes.set_xlabel('images/s of ours / of the peer (1: equal)')
    for side in ('top', 'right', 'left'):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _name(peer):
    if peer in NAMES:
        return NAMES[peer]
    if peer.startswith('torch_'):
        return f'PyTorch DataLoader, {peer.removeprefix("torch_")} workers'
    return peer


if __name__ == '__main__':
    main()
