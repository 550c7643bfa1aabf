"""Draws what the benchmarks measured, from their JSON.

    python -m benchmarks.plots --training=training.json --input=input.json --output=docs

Writes performance-training.png and performance-input.png: a bar for each program that
ours is compared with, as long as ours is faster than it (median; the line spans least
to most), and a mark where as fast is.
"""

import argparse
import json
import os

import matplotlib

matplotlib.use('Agg')

from matplotlib import pyplot  # noqa: E402  Whose backend is chosen by then.

NAMES = {
    'stock': 'stock Estimator',
    'keras': 'Keras 3',
    'keras_jit': 'Keras 3, jit_compile',
    'keras_reshuffled': 'Keras, cached by picture and shuffled',
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


def main(arguments=None):
    """Draws what there is."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument('--training', help='of benchmarks.training')
    options.add_argument('--input', help='of benchmarks.input')
    options.add_argument('--output', required=True, help='folder')
    options = options.parse_args(arguments)
    for kind in ('training', 'input'):
        path = getattr(options, kind)
        if path:
            with open(path, encoding='utf-8') as file:
                report = json.load(file)
            draw(report, os.path.join(options.output, f'performance-{kind}.png'))


def draw(report, path):
    """Draws the ratios of a report into a PNG file.

    Args:
      report: dict with 'ratios', see `rounds.ratios`.
      path: of the picture.
    """
    rows = [
        (f'{WORKLOADS.get(workload, workload)}: {_name(peer)}', found)
        for workload, peers in report['ratios'].items()
        for peer, found in peers.items()
    ]
    figure, axes = pyplot.subplots(figsize=(9, 0.8 + 0.34 * len(rows)))
    for place, (_, found) in enumerate(rows):
        middle = found['median']
        colour = '#2a7f62' if middle >= 1 else '#b5651d'
        axes.barh(place, middle - 1, left=1, color=colour, height=0.6)
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
    ticks = [t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if _within(t, rows)]
    axes.set_xticks(ticks, [f'{tick:g}' for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel('pictures/s of ours / of it (1: as fast)')
    for side in ('top', 'right', 'left'):
        axes.spines[side].set_visible(False)
    left, right = axes.get_xlim()
    axes.set_xlim(left, right * 1.2)  # For the number of the longest.
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _name(peer):
    if peer in NAMES:
        return NAMES[peer]
    if peer.startswith('torch_'):
        return f'PyTorch DataLoader, {peer.removeprefix("torch_")} workers'
    return peer


def _within(tick, rows):
    """Whether a tick lies where bars are, or next to it."""
    low = min(1, *(found['least'] for _, found in rows))
    high = max(1, *(found['most'] for _, found in rows))
    return low / 2 <= tick <= high * 2


if __name__ == '__main__':
    main()
