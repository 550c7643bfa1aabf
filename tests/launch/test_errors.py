"""Bad input: a clear message, a non-zero exit, no traceback, nothing half-written."""

import os

import numpy as np
import pytest
from PIL import Image

from tests.helpers.launching import SMALL, launch


def _directory(root, classes=('cat', 'dog'), count=6):
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for index in range(count):
            pixels = np.random.RandomState(10 * number + index).randint(
                0, 256, (16, 20, 3), np.uint8
            )
            Image.fromarray(pixels).save(root / name / f'{index}.jpg')
    return root


def _refused(tmp_path, *arguments, code=2):
    """Trains with bad input; returns what was said, after the common checks."""
    model_dir = tmp_path / 'run'
    done = launch(
        'train', '--epochs=1', *arguments, f'--model_dir={model_dir}', timeout=180
    )
    assert done.returncode == code, done.stderr
    assert 'Traceback' not in done.stderr
    assert 'error: ' in done.stderr
    assert not (model_dir / 'export').exists()
    if code == 2:  # Known before the first step: no trace of a run is left.
        assert not model_dir.exists() or not os.listdir(model_dir)
    return done.stderr


DIRECTORY = ('--dataset=image_folder', '--batch_size=4', '--network=linear')


def test_no_such_directory(tmp_path):
    said = _refused(tmp_path, *DIRECTORY, '--data_dir=/no/such/directory')
    assert '--data_dir' in said and '/no/such/directory' in said


def test_directory_without_images(tmp_path):
    (tmp_path / 'data' / 'cat').mkdir(parents=True)
    said = _refused(tmp_path, *DIRECTORY, f'--data_dir={tmp_path}/data')
    assert 'no images' in said and 'DIR/<class>/<image>' in said


def test_one_class_only(tmp_path):
    _directory(tmp_path / 'data', ['cat'])
    said = _refused(tmp_path, *DIRECTORY, f'--data_dir={tmp_path}/data')
    assert 'at least two classes' in said and "'cat'" in said


def test_text_file_named_jpg(tmp_path):
    bad = _directory(tmp_path / 'data') / 'dog' / '3.jpg'
    bad.write_text('I am not an image.')
    said = _refused(
        tmp_path,
        *DIRECTORY,
        f'--data_dir={tmp_path}/data',
        '--max_corrupt_images=0',
        code=1,
    )
    assert str(bad) in said and 'neither JPEG, PNG, GIF nor BMP' in said


@pytest.mark.extended
def test_truncated_jpegs_beyond_the_limit(tmp_path):
    directory = _directory(tmp_path / 'data') / 'cat'
    bad = [directory / f'{n}.jpg' for n in (2, 4, 5)]
    for path in bad:
        path.write_bytes(path.read_bytes()[:400])
    said = _refused(
        tmp_path,
        *DIRECTORY,
        f'--data_dir={tmp_path}/data',
        '--max_corrupt_images=2',
        code=1,
    )
    assert '3 images cannot be read, where --max_corrupt_images=2 is the most' in said
    last = said.rpartition('error: ')[2]
    assert all(str(path) in last for path in bad)
    assert 'user-defined function' not in said  # TensorFlow's words, not a person's.


@pytest.mark.extended
def test_a_truncated_jpeg_is_left_out_and_said(tmp_path):
    bad = _directory(tmp_path / 'data') / 'cat' / '2.jpg'
    bad.write_bytes(bad.read_bytes()[:400])
    done = launch(
        'train',
        *DIRECTORY,
        f'--data_dir={tmp_path}/data',
        '--epochs=1',
        f'--model_dir={tmp_path}/run',
    )
    assert done.returncode == 0, done.stderr
    assert f'Skipped, since it cannot be read: {bad}: ' in done.stderr
    assert done.stderr.count(str(bad)) == 1
    assert 'user-defined function' not in done.stderr
    assert (tmp_path / 'run' / 'corrupt_images.jsonl').exists()


def test_cifar_file_cut_short(tmp_path):
    for name in ('data_batch_1.bin', 'test_batch.bin'):
        (tmp_path / name).write_bytes(bytes(3073 * 2 - 7))
    (tmp_path / 'batches.meta.txt').write_text('\n'.join('abcdefghij'))
    said = _refused(tmp_path, '--dataset=cifar10', f'--data_dir={tmp_path}')
    assert 'data_batch_1.bin' in said and '3073' in said and '6139' in said


def test_idx_file_cut_short(tmp_path):
    header = bytes([0, 0, 8, 3, 0, 0, 0, 9, 0, 0, 0, 4, 0, 0, 0, 4])
    (tmp_path / 'train-images-idx3-ubyte').write_bytes(header + bytes(100))
    (tmp_path / 'train-labels-idx1-ubyte').write_bytes(
        bytes([0, 0, 8, 1, 0, 0, 0, 9, *range(9)])
    )
    said = _refused(tmp_path, '--dataset=idx', f'--data_dir={tmp_path}')
    assert 'train-images-idx3-ubyte' in said and '160' in said and '116' in said


@pytest.fixture(scope='module')
def records(tmp_path_factory):
    """A small dataset as TFRecords: its directory."""
    root = tmp_path_factory.mktemp('records')
    _directory(root / 'images')
    done = launch(
        'convert',
        '--dataset=image_folder',
        f'--data_dir={root}/images',
        f'--output_dir={root}/records',
    )
    assert done.returncode == 0, done.stderr
    return root / 'records'


def _copy(records, tmp_path):
    """Copies the shard that is to be corrupt, without the manifest."""
    data = tmp_path / 'data'
    data.mkdir()
    (shard,) = records.glob('train-*')
    (data / shard.name).write_bytes(shard.read_bytes())
    (data / 'labels.txt').write_bytes((records / 'labels.txt').read_bytes())
    return data, data / shard.name


RECORDS = ('--dataset=tfrecord', '--batch_size=4', '--network=linear')


def test_tfrecord_with_a_flipped_bit(records, tmp_path):
    data, shard = _copy(records, tmp_path)
    content = bytearray(shard.read_bytes())
    content[-40] ^= 1  # In the last record, before its checksum.
    shard.write_bytes(content)
    said = _refused(tmp_path, *RECORDS, f'--data_dir={data}')
    assert shard.name in said and 'record 11' in said and 'checksum' in said


@pytest.mark.extended
def test_label_out_of_range(records, tmp_path):
    data, shard = _copy(records, tmp_path)
    said = _refused(
        tmp_path,
        *RECORDS,
        '--dataset=tfrecord(label_offset=1)',
        f'--data_dir={data}',
        code=1,
    )
    assert 'label' in said and '-1' in said


def test_batch_larger_than_the_dataset(tmp_path):
    _directory(tmp_path / 'data')
    said = _refused(
        tmp_path, *DIRECTORY, f'--data_dir={tmp_path}/data', '--batch_size=100'
    )
    assert '--batch_size=100' in said and '12 examples' in said


def test_unknown_flag_in_a_flagfile(tmp_path):
    flagfile = tmp_path / 'my.flags'
    flagfile.write_text('--dataset=digits\n--netwrok=cnn\n')
    said = _refused(tmp_path, f'--flagfile={flagfile}')
    assert f'{flagfile}, line 2' in said and 'netwrok' in said and 'network' in said


def test_bad_value_in_a_flagfile(tmp_path):
    flagfile = tmp_path / 'my.flags'
    flagfile.write_text('# My run.\n--dataset=digits\n--batch_size=0\n')
    said = _refused(tmp_path, f'--flagfile={flagfile}')
    assert f'{flagfile}, line 3: --batch_size must be at least 1, got 0' in said


@pytest.mark.parametrize(
    'flag, wanted',
    [
        ('--network=liner', "'linear'"),
        ('--dataset=cifra10', "'cifar10'"),
        ('--optimizer=adma', "'adam'"),
        ('--network=mlp(hiden=3)', "no option of 'mlp': 'hiden'"),
        ('--augment=flop', 'flip'),
        ('--learning_rate=fast', 'must be a number'),
        ('--dataset=digits(label_pattern=x)', '`label_pattern` has no meaning for'),
        ('--eval_split=tset', 'test'),
        ('--epochs=1 --max_steps=5', '--max_steps'),
        ('--replicas=3', 'replicas'),
        ('--max_pixels=63', '--max_pixels must be at least 64, the 8 x 8 pixels'),
    ],
)
def test_mistakes_in_flags(tmp_path, flag, wanted):
    said = _refused(tmp_path, *SMALL, *flag.split())
    assert wanted in said


@pytest.mark.extended
def test_model_dir_of_another_program(tmp_path):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'config.json').write_text('{"model_type": "bert"}')
    done = launch('train', *SMALL, f'--model_dir={tmp_path}/run')
    assert done.returncode == 2 and 'config.json' in done.stderr
    assert 'Traceback' not in done.stderr
    assert os.listdir(tmp_path / 'run') == ['config.json']


@pytest.mark.parametrize('program', ['evaluate', 'export'])
def test_model_dir_without_a_run(program, tmp_path):
    done = launch(program, f'--model_dir={tmp_path}')
    assert done.returncode == 2 and '--model_dir' in done.stderr
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize(
    'program', ['train', 'evaluate', 'export', 'predict', 'convert']
)
def test_help_reads_well_and_costs_no_tensorflow(program):
    """TensorFlow's import takes seconds; its absence shows in the modules loaded."""
    done = launch(program, '--help', env={**os.environ, 'PYTHONPROFILEIMPORTTIME': '1'})
    assert done.returncode == 0
    assert f'python -m launch.{program}' in done.stdout
    assert 'tensorflow' not in done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_help_lists_what_there_is():
    said = launch('train', '--help').stdout
    for name in ('image_folder', 'tfds:NAME', 'mlp', 'hidden=', 'nesterov', 'cosine'):
        assert name in said


def test_flags_of_a_run_are_as_the_run_had_them():
    said = ' '.join(launch('export', '--help').stdout.split())
    assert said.count('Default: as the exports of the run') >= 2
    assert '[[]]' not in launch('evaluate', '--help').stdout
    done = launch('train', *SMALL, '--noxla=3')
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    assert 'xla' in done.stderr
