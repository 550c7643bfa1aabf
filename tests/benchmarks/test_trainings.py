"""Tests of the experiments that compare several runs."""

import numpy as np
import pytest

from benchmarks import trainings
from tests.helpers.launching import benchmark


@pytest.fixture(name='cifar', scope='module')
def _cifar(tmp_path_factory):
    """A directory in the format of CIFAR-10, with 20 training images of each class."""
    directory = tmp_path_factory.mktemp('cifar')
    rng = np.random.default_rng(0)
    names = [f'data_batch_{n}.bin' for n in range(1, 6)] + ['test_batch.bin']
    for name in names:
        rows = rng.integers(0, 256, (40, 1 + 3072)).astype(np.uint8)
        rows[:, 0] = np.arange(40) % 10
        (directory / name).write_bytes(rows.tobytes())
    classes = 'airplane automobile bird cat deer dog frog horse ship truck'.split()
    (directory / 'batches.meta.txt').write_text('\n'.join(classes) + '\n')
    return directory


def _output(program, cifar, runs, *flags):
    directories = [f'--data_dir={cifar}', f'--runs={runs}']
    return benchmark(program, '--seeds=1', *directories, '--', *flags)


@pytest.mark.slow
def test_transfer_runs(cifar, tmp_path):
    flags = ['--epochs=1', '--examples_per_class=10', '--batch_size=20']
    # The source has twenty examples per class: four steps.
    flags += ['--eval_every=0', '--lookahead=']
    printed = _output('transfer', cifar, tmp_path / 'runs', *flags)
    names = 'eight', 'catdog_scratch', 'catdog_frozen', 'catdog_tuned'
    for name in names:
        assert f'cifar10_{name}.flags' in printed
    assert 'frozen over scratch: median' in printed
    assert 'tuned over scratch: median' in printed
    assert (tmp_path / 'runs' / 'frozen-0' / 'features').exists()


@pytest.mark.slow
def test_augmentation_runs(cifar, tmp_path):
    printed = _output('augmentation', cifar, tmp_path / 'runs', '--epochs=1')
    assert printed.count('| cifar10 | cifar10_cnn.flags') == 5
    for name in ('flip', 'zoom', 'brightness', 'all'):
        assert f'\n{name} over none: median' in printed


def test_gains_are_paired_by_seed(capsys):
    trainings.print_gains('a', [0.5, 0.75, 0.5], 'b', [0.25, 0.25, 0.625])
    assert capsys.readouterr().out == (
        'a over b: median +0.2500, from -0.1250 to +0.5000, n = 3\n'
    )
