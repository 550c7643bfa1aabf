"""Tests of the program `launch.explain`."""

import os

import pytest
from PIL import Image

from estimator_clf.config.config import make_config
from estimator_clf.training.trainer import train_and_evaluate
from tests.helpers.launching import launch
from tests.helpers.small_run import events


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """The model_dir of a run of `linear` on the digits."""
    config = make_config(
        dataset='digits',
        network='linear',
        model_dir=str(tmp_path_factory.mktemp('run')),
        optimizer='adam',
        learning_rate=0.01,
        batch_size=64,
        max_steps=60,
        export=False,
        eval_plots=False,
    )
    train_and_evaluate(config)
    return config.run.model_dir


def test_figures_messages_and_summaries_of_a_run(run):
    done = launch('explain', f'--model_dir={run}', '--count=3', '--steps=30')
    assert done.returncode == 0, done.stderr
    paths = done.stdout.split()
    directory = os.path.join(run, 'explain')
    assert [os.path.relpath(path, directory) for path in paths] == [
        'weights.png',
        'saliency.png',
        'occlusion.png',
        'maximize-classes.png',
    ]
    for path in paths:
        with Image.open(path) as image:
            image.load()
            assert image.size[0] >= 520
    messages = done.stderr.splitlines()
    gaps = [line for line in messages if 'a gap of 0.00% in 30 steps' in line]
    assert len(gaps) == 3 and gaps[0].startswith('digits/')
    found = [v.tag for event in events(directory) for v in event.summary.value]
    assert len(found) == 4
    # An explanation is not part of the run, whose own directory TensorBoard shows
    # apart.
    assert not [e for e in events(run) for v in e.summary.value if v.tag in found]
