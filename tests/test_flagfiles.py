"""The flagfiles that come with the product: they say what they cost, and they run."""

import pathlib

import pytest
from launching import ROOT, launch, lines
from real_data import real_data

FLAGFILES = sorted(pathlib.Path(ROOT, 'launch', 'flagfiles').glob('*.flags'))


@pytest.mark.parametrize('path', FLAGFILES, ids=lambda path: path.stem)
def test_says_what_it_costs_and_reaches(path):
    lines = path.read_text(encoding='utf-8').splitlines()
    head = ' '.join(line[2:] for line in lines if line.startswith('#'))
    assert 'Costs about' in head and 'on 2 CPU cores' in head and 'reaches' in head
    flags = [line for line in lines if line and not line.startswith('#')]
    assert all(flag.startswith('--') for flag in flags)
    # Where a run lives and how it is seeded is for the one who starts it to say.
    names = {flag.partition('=')[0] for flag in flags}
    assert not names & {'--model_dir', '--data_dir', '--seed'}


@pytest.mark.parametrize('path', FLAGFILES, ids=lambda path: path.stem)
def test_runs_on_the_real_data(path, tmp_path):
    name = path.stem.partition('_')[0]
    folders = {'mnist': 'mnist', 'cifar10': 'cifar-10-batches-bin'}
    data = [] if name == 'digits' else [real_data(folders.get(name, name))]
    done = launch(
        'train',
        f'--flagfile={path}',
        *(f'--data_dir={folder}' for folder in data),
        '--epochs=0',
        '--max_steps=2',
        '--noexport',
        f'--model_dir={tmp_path}/run',
    )
    assert done.returncode == 0, done.stderr
    written = lines(tmp_path / 'run' / 'metrics.jsonl')
    assert written[-1]['split'] in ('validation', 'test')
    assert written[-1]['step'] == 2
