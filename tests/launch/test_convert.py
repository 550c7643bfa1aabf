"""`python -m launch.convert` as a user runs it."""

import os

import numpy as np
from PIL import Image

import input as data
from tests.helpers.launching import launch


def _directory(root):
    for split in ('train', 'valid'):
        for number, name in enumerate(('ant', 'bee')):
            directory = root / split / name
            directory.mkdir(parents=True)
            for n in range(5):
                pixels = np.full([8, 9, 3], 20 * n + number, np.uint8)
                Image.fromarray(pixels).save(directory / f'{n}.png')
    return root


def test_converts_and_says_what_is_next(tmp_path):
    out = tmp_path / 'out'
    done = launch(
        'convert',
        '--dataset=image_folder',
        f'--data_dir={_directory(tmp_path / "in")}',
        f'--output_dir={out}',
        '--shards=2',
        '--compression=gzip',
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == '20/20 images'
    assert 'oneDNN' not in done.stderr and 'cuda' not in done.stderr
    assert f'--dataset=tfrecord --data_dir={out}' in done.stdout
    assert done.stdout.splitlines()[2].split()[:3] == ['train', '10', '2']
    source = data.open_dataset('tfrecord', str(out))
    assert source.num_examples == {'train': 10, 'validation': 10}
    assert source.class_names == ('ant', 'bee')
    assert sum(name.endswith('.tfrecord.gz') for name in os.listdir(out)) == 4


def test_bad_image(tmp_path):
    bad = _directory(tmp_path / 'in') / 'train' / 'bee' / '3.png'
    bad.write_text('I am not an image.')
    done = launch(
        'convert',
        '--dataset=image_folder',
        f'--data_dir={tmp_path}/in',
        f'--output_dir={tmp_path}/out',
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f'error: {bad} cannot be decoded: neither JPEG, PNG, GIF nor BMP, but '
        'text; get it again'
    )
    assert os.listdir(tmp_path) == ['in']


def test_flags(tmp_path):
    done = launch('convert', '--dataset=digits')
    assert done.returncode == 2 and '--output_dir' in done.stderr
    done = launch('convert', f'--output_dir={tmp_path}/out', '--network=cnn')
    assert done.returncode == 2 and 'network' in done.stderr
    done = launch('convert', '--help')
    assert done.returncode == 0
    assert '--shards' in done.stdout and 'image_folder' in done.stdout
    assert '--learning_rate' not in done.stdout
