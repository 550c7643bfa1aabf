"""The recipe `transfer`: flags, messages, and kills of the process in each phase."""

import json
import os
import shutil
import signal
import subprocess

import numpy as np
import pytest
import tensorflow as tf
from absl import flags as absl_flags
from absl.testing import flagsaver
from PIL import Image

from launch import flags
from launch.parsing import recipes
from tests.helpers.launching import ROOT, command, launch, lines
from tests.helpers.real_data import real_data
from tests.helpers.small_run import timeless, weights

TINY = (
    '--recipe=transfer',
    '--network=mlp(hidden=6)',
    '--weights=',
    '--image_size=8',
    '--eval_plots=false',
)


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    """Two classes of 150 small images."""
    directory = tmp_path_factory.mktemp('photos')
    random = np.random.default_rng(0)
    for name, shade in (('cats', 90), ('dogs', 160)):
        (directory / name).mkdir()
        for index in range(150):
            pixels = np.clip(random.normal(shade, 60, (9, 9, 3)), 0, 255)
            image = Image.fromarray(pixels.astype(np.uint8))
            image.save(directory / name / f'{index}.png')
    return directory


def config_of(*arguments):
    with flagsaver.flagsaver():
        line = recipes.expand(['train', '--recipe=transfer', *arguments])
        absl_flags.FLAGS(line)
        return flags.config_from_flags()


@pytest.fixture(scope='module', autouse=True)
def _defined():
    if 'transfer' not in absl_flags.FLAGS:
        flags.define_config()


def test_flags_that_are_given_are_known():
    config = config_of('--batch_size=128', '--network=cnn', '--weights=')
    assert config.transfer.transfer
    assert {'batch_size', 'network', 'dataset'} <= config.given
    assert 'learning_rate' not in config.given
    assert config.replace(epochs=2.0).given >= {'batch_size', 'epochs'}


@pytest.mark.extended
def test_one_command_trains_and_exports(photos, tmp_path):
    directory = tmp_path / 'run'
    done = launch('train', *TINY, f'--data_dir={photos}', f'--model_dir={directory}')
    assert done.returncode == 0, done.stderr
    for part in ('--batch_size=32', 'transfer 1/3', 'transfer 2/3', 'cross-validation'):
        assert part in done.stderr
    written = json.loads((directory / 'config.json').read_text())
    assert list(written['phases']) == ['features', 'classifier']
    assert os.listdir(directory / 'export')


@pytest.mark.extended
@pytest.mark.parametrize('phase', ['1/3', '2/3', '3/3'])
def test_process_killed_in_a_phase_resumes_bit_for_bit(photos, tmp_path, phase):
    arguments = (
        *TINY,
        f'--data_dir={photos}',
        '--validation_split=0.4',
        '--fine_tune=all',
        '--epochs=2',
        '--noexport',
    )
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    done = launch('train', *arguments, f'--model_dir={whole}')
    assert done.returncode == 0, done.stderr
    process = subprocess.Popen(
        command('train', *arguments, f'--model_dir={killed}'),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if line.startswith(f'transfer {phase}'):
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    done = launch('train', *arguments, f'--model_dir={killed}')
    assert done.returncode == 0, done.stderr
    last = [weights(tf.train.latest_checkpoint(str(d))) for d in (whole, killed)]
    assert last[0] == last[1]
    logs = [timeless(lines(d / 'metrics.jsonl')) for d in (whole, killed)]
    assert logs[0] == logs[1]
    facts = [(d / 'transfer.json').read_text() for d in (whole, killed)]
    assert facts[0] == facts[1]


@pytest.mark.extended
def test_training_from_scratch_on_few_photos_names_the_recipe(photos, tmp_path):
    done = launch(
        'train',
        '--dataset=image_folder',
        f'--data_dir={photos}',
        '--network=linear',
        '--image_size=64',
        '--batch_size=30',
        '--max_steps=1',
        '--noexport',
        f'--model_dir={tmp_path / "run"}',
    )
    assert done.returncode == 0, done.stderr
    assert '--recipe=transfer' in done.stderr


@pytest.mark.slow
def test_dogscats_with_the_weights_of_squeezenet(tmp_path):
    """Chosen by training photos alone; the 400 others are the test split."""
    photos, file = real_data('dogscats'), real_data('squeezenet')
    file = os.path.join(file, 'squeezenet1.1_imagenet_notop.h5')
    data = tmp_path / 'data'
    data.mkdir()
    os.symlink(os.path.join(photos, 'train'), data / 'train')
    os.symlink(os.path.join(photos, 'valid'), data / 'test')
    directory = tmp_path / 'run'
    done = launch(
        'train',
        '--recipe=transfer',
        f'--data_dir={data}',
        f'--weights={file}',
        f'--model_dir={directory}',
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr
    [test] = [x for x in lines(directory / 'metrics.jsonl') if x['split'] == 'test']
    assert test['accuracy'] >= 0.97
    [version] = os.listdir(directory / 'export')
    saved = directory / 'export' / version
    size = sum(p.stat().st_size for p in saved.rglob('*') if p.is_file())
    assert size < 5e6
    shutil.rmtree(directory)
