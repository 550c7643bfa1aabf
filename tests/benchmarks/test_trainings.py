"""The experiments of several trainings run, and print what came out."""

import numpy as np
import pytest

from benchmarks import trainings
from tests.helpers.launching import benchmark


@pytest.fixture(name='cifar', scope='module')
def _cifar(tmp_path_factory):
    """A directory like CIFAR-10's, of 20 images of each class."""
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
def test_transfer(cifar, tmp_path):
    flags = ['--epochs=1', '--examples_per_class=10', '--batch_size=20']
    # Of the source, all examples there are are twenty each: four steps.
    flags += ['--eval_every=0', '--lookahead=']
    told = _output('transfer', cifar, tmp_path / 'runs', *flags)
    names = 'eight', 'catdog_scratch', 'catdog_frozen', 'catdog_tuned'
    for name in names:
        assert f'cifar10_{name}.flags' in told
    assert 'frozen over scratch: median' in told
    assert 'tuned over scratch: median' in told
    assert (tmp_path / 'runs' / 'frozen-0' / 'features').exists()


@pytest.mark.slow
def test_augmentation(cifar, tmp_path):
    told = _output('augmentation', cifar, tmp_path / 'runs', '--epochs=1')
    assert told.count('| cifar10 | cifar10_cnn.flags') == 5
    for name in ('flip', 'zoom', 'brightness', 'all'):
        assert f'\n{name} over none: median' in told


def test_gains(capsys):
    trainings.print_gains('a', [0.5, 0.75, 0.5], 'b', [0.25, 0.25, 0.625])
    assert capsys.readouterr().out == (
        'a over b: median +0.2500, from -0.1250 to +0.5000, n = 3\n'
    )
