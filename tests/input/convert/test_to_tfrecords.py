"""Conversion to TFRecords and back, and interrupted conversions."""

import io
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import input as data
from estimator_clf.core.atomic_files import PARTIAL
from estimator_clf.core.errors import DataError
from input.convert import shard_writer
from input.convert.to_tfrecords import convert
from input.sources.base import as_numpy_batches
from input.sources.tfrecords import TFRecordSource
from tests.helpers.record_examples import flip_bit, png, write_split

_ROOT = str(pathlib.Path(__file__).resolve().parents[3])


def _directory(root, counts=(7, 6), splits=('train', 'valid')):
    """Writes an image_folder: two classes, PNG and JPEG."""
    number = 0
    for split in splits:
        for name, count in zip(('ant', 'bee'), counts, strict=True):
            directory = root / split / name
            directory.mkdir(parents=True)
            for n in range(count):
                number += 1
                encoded_image = png(number)
                if n % 3 == 0:
                    buffer = io.BytesIO()
                    Image.open(io.BytesIO(encoded_image)).save(buffer, 'JPEG')
                    encoded_image = buffer.getvalue()
                suffix = 'jpg' if n % 3 == 0 else 'png'
                (directory / f'{n}.{suffix}').write_bytes(encoded_image)
    return {'name': 'image_folder', 'data_dir': str(root)}


def _arrays(root, count=40):
    rng = np.random.RandomState(0)
    images = rng.randint(0, 256, [count, 5, 4, 1], np.uint8)
    path = root / 'some.npz'
    np.savez(path, x_train=images, y_train=np.arange(count) % 4)
    return {'name': 'arrays', 'data_dir': str(path)}


def _examples(source, split='train'):
    """Returns the sorted (label, pixels as bytes)."""
    (batch,) = as_numpy_batches(source.input_fn(split, source.num_examples[split]))
    images = batch[0]['image']
    return sorted(
        (int(y), x.tobytes()) for x, y in zip(images, batch[1], strict=True)
    )  # fmt: skip


def _leftovers(parent):
    return sorted(n for n in os.listdir(parent) if n == 'out' or n.startswith(PARTIAL))


@pytest.mark.parametrize(
    ('make', 'compression'),
    [
        (_directory, ''),
        pytest.param(_directory, 'gzip', marks=pytest.mark.slow),
        (_arrays, ''),
        (_arrays, 'gzip'),
    ],
)
def test_converted_dataset_equals_the_source(tmp_path, make, compression):
    args = make(tmp_path)
    convert(args, tmp_path / 'out', shards=3, compression=compression)
    before = data.open_dataset(**args)
    after = data.open_dataset('tfrecord', str(tmp_path / 'out'))
    assert after.class_names == before.class_names
    assert after.image_shape == before.image_shape
    assert after.num_examples == before.num_examples
    assert (after.info.mean, after.info.stddev) == (
        before.info.mean,
        before.info.stddev,
    )
    for split in before.num_examples:
        assert _examples(after, split) == _examples(before, split)


def test_unusual_class_names_are_preserved(tmp_path):
    for name in ('0:a', '1:b', 'b '):
        (tmp_path / 'in' / name).mkdir(parents=True)
        (tmp_path / 'in' / name / '0.png').write_bytes(png(0))
    args = {'name': 'image_folder', 'data_dir': str(tmp_path / 'in')}
    convert(args, tmp_path / 'out')
    source = data.open_dataset('tfrecord', str(tmp_path / 'out'))
    assert source.class_names == ('0:a', '1:b', 'b ')
    # The file takes precedence over the manifest.
    (tmp_path / 'out' / 'labels.txt').write_text('0:x\n1:y\n2:z\n')
    source = data.open_dataset('tfrecord', str(tmp_path / 'out'))
    assert source.class_names == ('x', 'y', 'z')


def test_features_and_files_of_the_output(tmp_path):
    convert(_directory(tmp_path), tmp_path / 'out', shards=4)
    names = sorted(os.listdir(tmp_path / 'out'))
    assert names == [
        'labels.txt',
        'manifest.json',
        *(f'train-0000{n}-of-00004.tfrecord' for n in range(4)),
        *(f'validation-0000{n}-of-00004.tfrecord' for n in range(4)),
    ]
    assert (tmp_path / 'out' / 'labels.txt').read_text() == 'ant\nbee\n'
    manifest = json.loads((tmp_path / 'out' / 'manifest.json').read_text())
    shard = manifest['splits']['train'][0]
    path = tmp_path / 'out' / shard['file']
    assert shard['bytes'] == path.stat().st_size
    assert sum(s['examples'] for s in manifest['splits']['train']) == 13
    records = list(as_numpy_batches(lambda: tf.data.TFRecordDataset(str(path))))
    assert len(records) == shard['examples']
    feature = tf.train.Example.FromString(records[0]).features.feature
    file_name = feature['image/filename'].bytes_list.value[0].decode()
    split, name, _ = file_name.split('/')
    assert split == 'train'
    assert feature['image/class/text'].bytes_list.value[0].decode() == name
    assert feature['image/class/label'].int64_list.value[0] == ['ant', 'bee'].index(
        name
    )
    encoded_image = (tmp_path / file_name).read_bytes()
    assert feature['image/encoded'].bytes_list.value[0] == encoded_image
    kind = {'jpg': b'jpeg', 'png': b'png'}[file_name[-3:]]
    assert feature['image/format'].bytes_list.value[0] == kind
    for fact, value in (('height', 6), ('width', 6), ('channels', 3)):
        assert feature[f'image/{fact}'].int64_list.value[0] == value


def test_classes_are_shuffled_over_and_within_shards(tmp_path):
    count = 200
    path = tmp_path / 'sorted.npz'
    np.savez(
        path,
        x_train=np.zeros([count, 2, 2, 1], np.uint8),
        y_train=np.arange(count) // (count // 2),
    )
    convert({'name': 'arrays', 'data_dir': str(path)}, tmp_path / 'out', shards=4)
    source = data.open_dataset('tfrecord', str(tmp_path / 'out'))
    labels = [label for _, _, label in source.encoded('train')]
    for start in range(0, count, 25):
        assert 3 < sum(labels[start : start + 25]) < 22


@pytest.mark.extended
def test_number_of_processes_does_not_change_the_bytes(tmp_path):
    args, done = _directory(tmp_path), []
    convert(args, tmp_path / 'one', shards=3, workers=1)
    convert(
        args, tmp_path / 'two', shards=3, workers=2, progress=lambda *p: done.append(p)
    )
    assert done[-1] == (26, 26)
    for name in os.listdir(tmp_path / 'one'):
        written = (tmp_path / 'two' / name).read_bytes()
        assert (tmp_path / 'one' / name).read_bytes() == written


@pytest.mark.extended
def test_records_to_records_with_validation_split(tmp_path):
    write_split(tmp_path / 'in', 'train', 24)
    args = {
        'name': 'tfrecord',
        'data_dir': str(tmp_path / 'in'),
        'validation_split': 0.3,
    }
    convert(args, tmp_path / 'out', shards=3, compression='ZLIB')
    before = data.open_dataset(**args)
    after = data.open_dataset('tfrecord', str(tmp_path / 'out'))
    assert after.num_examples == before.num_examples
    for split in ('train', 'validation'):
        assert _examples(after, split) == _examples(before, split)


@pytest.mark.extended
def test_records_are_read_once_and_shuffled(tmp_path, monkeypatch):
    write_split(tmp_path / 'in', 'train', 40)
    write_split(tmp_path / 'in', 'test', 10)
    args, splits_read = {'name': 'tfrecord', 'data_dir': str(tmp_path / 'in')}, []
    encoded = TFRecordSource.encoded

    def noted(self, split, indices=None):
        splits_read.append(split)
        return encoded(self, split, indices)

    monkeypatch.setattr(TFRecordSource, 'encoded', noted)
    convert(args, tmp_path / 'one', shards=8, workers=1)
    assert splits_read == ['train', 'test']
    # In chunks of about five examples.
    monkeypatch.setattr(shard_writer, '_CHUNK_BYTES', 400)
    monkeypatch.setattr(shard_writer, '_OPEN_FILES', 3)
    convert(args, tmp_path / 'two', shards=2, workers=1)
    before = data.open_dataset(**args)
    for name in ('one', 'two'):
        after = data.open_dataset('tfrecord', str(tmp_path / name))
        for split in ('train', 'test'):
            assert _examples(after, split) == _examples(before, split)
        assert not [n for n in os.listdir(tmp_path / name) if n.startswith('.')]
    # The shards together are a permutation.
    orders = [
        [key for key, _, _ in data.open_dataset('tfrecord', str(path)).encoded('train')]
        for path in (tmp_path / 'one', tmp_path / 'two')
    ]
    assert orders[0] == orders[1] != sorted(orders[0])


def test_example_size_is_sampled_from_all_classes(tmp_path):
    for name, size in (('a', 4), ('b', 64)):
        (tmp_path / 'in' / name).mkdir(parents=True)
        for n in range(70):
            pixels = np.random.default_rng(n).integers(0, 256, (size, size, 3))
            encoded_image = Image.fromarray(pixels.astype(np.uint8))
            encoded_image.save(tmp_path / 'in' / name / f'{n}.png')
    source = data.open_dataset('image_folder', str(tmp_path / 'in'))
    few = source.sample('train')
    assert len(few) == 64 and np.mean([len(one) > 5000 for one in few]) == 0.5


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'shards': 0}, '`shards` must be at least 1, got 0'),
        ({'shards': 99}, '`shards=99` must not be more than the 13'),
        ({'workers': 0}, '`workers` must be at least 1, got 0'),
        ({'compression': 'lz4'}, "GZIP, ZLIB or none, got 'lz4'"),
    ],
)
def test_invalid_options_are_refused(tmp_path, options, message):
    with pytest.raises(DataError, match=message):
        convert(_directory(tmp_path), tmp_path / 'out', **options)
    assert not _leftovers(tmp_path)


def test_output_dir_with_content_is_refused(tmp_path):
    args = _directory(tmp_path / 'in')
    (tmp_path / 'out').mkdir()
    convert(args, tmp_path / 'out')
    with pytest.raises(DataError, match='must not exist or be empty'):
        convert(args, tmp_path / 'out')
    (tmp_path / 'file').touch()
    with pytest.raises(DataError, match='must be a directory'):
        convert(args, tmp_path / 'file')
    with pytest.raises(
        DataError, match='`output_dir=.*out` cannot be created: .*file: '
    ):
        convert(args, tmp_path / 'file' / 'out')


def test_regression_data_is_refused(tmp_path):
    (tmp_path / 'line.csv').write_text('x,y\n1,2\n2,4\n3,6\n')
    args = {'name': 'csv', 'data_dir': str(tmp_path / 'line.csv')}
    with pytest.raises(DataError, match='no images to convert'):
        convert(args, tmp_path / 'out')


@pytest.mark.combinations
@pytest.mark.parametrize('workers', [1, 2])
def test_corrupt_image_is_named_and_nothing_remains(tmp_path, workers):
    args = _directory(tmp_path / 'in')
    corrupt = tmp_path / 'in' / 'train' / 'bee' / '4.png'
    corrupt.write_bytes(corrupt.read_bytes()[:50])
    with pytest.raises(DataError, match='bee/4.png cannot be decoded: a corrupt PNG'):
        convert(args, tmp_path / 'out', shards=2, workers=workers)
    assert not _leftovers(tmp_path)


def test_flipped_bit_is_named(tmp_path):
    (path,) = write_split(tmp_path / 'in', 'train', 6, shards=1)
    args = {'name': 'tfrecord', 'data_dir': str(tmp_path / 'in'), 'image_size': 6}
    (tmp_path / 'in' / 'labels.txt').write_text('a\nb\nc\n')
    flip_bit(path, -10)
    with pytest.raises(DataError, match='00000-of-00001, record 5: .* bit has flipped'):
        convert(args, tmp_path / 'out')
    assert not _leftovers(tmp_path)


_SLOW = textwrap.dedent("""
    import sys, time
    from input.convert.to_tfrecords import convert

    def progress(done, total):
        if done:
            print('going', flush=True)
        time.sleep(0.1)

    if __name__ == '__main__':
        args = {'name': 'image_folder', 'data_dir': sys.argv[1]}
        convert(args, sys.argv[2], shards=2, workers=1, progress=progress)
""")


@pytest.fixture(name='started')
def _started(tmp_path):
    """Starts a process that is converting."""
    _directory(tmp_path / 'in', counts=(60, 60))
    script = tmp_path / 'slow.py'
    script.write_text(_SLOW)
    process = subprocess.Popen(
        [sys.executable, script, tmp_path / 'in', tmp_path / 'out'],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ, PYTHONPATH=_ROOT),
    )
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_header_that_only_pillow_refuses(tmp_path):
    args = _directory(tmp_path / 'in')
    path = tmp_path / 'in' / 'train' / 'ant' / '1.png'
    encoded_image = path.read_bytes()
    text = b'Comment\x00hello'  # With a wrong checksum.
    chunk = struct.pack('>I', len(text)) + b'tEXt' + text + b'\x00\x00\x00\x00'
    path.write_bytes(encoded_image[:33] + chunk + encoded_image[33:])  # After the IHDR.
    with pytest.raises(OSError), Image.open(path) as opened:
        opened.load()
    convert(args, tmp_path / 'out')
    shapes = {
        tuple(
            values[f'image/{fact}'].int64_list.value[0]
            for fact in ('height', 'width', 'channels')
        )
        for shard in tmp_path.glob('out/train-*')
        for record in tf.compat.v1.io.tf_record_iterator(str(shard))
        for values in [tf.train.Example.FromString(record).features.feature]
    }
    assert shapes == {(6, 6, 3)}


def test_output_dir_may_be_a_link_to_an_empty_directory(tmp_path):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'out').symlink_to('empty')
    convert(_arrays(tmp_path, 8), tmp_path / 'out')
    assert (tmp_path / 'out').is_symlink()
    assert data.open_dataset('tfrecord', str(tmp_path / 'out')).num_examples


def test_mount_point_is_refused_before_conversion(tmp_path, monkeypatch):
    (tmp_path / 'out').mkdir()
    monkeypatch.setattr(os.path, 'ismount', lambda path: path.endswith('out'))
    with pytest.raises(DataError, match='mount point of a file system'):
        convert(_arrays(tmp_path, 8), tmp_path / 'out')


@pytest.mark.combinations
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_signal_leaves_nothing(tmp_path, started, number):
    assert _leftovers(tmp_path)
    started.send_signal(number)
    assert started.wait(30) != 0
    assert not _leftovers(tmp_path)


def test_kill_leaves_no_readable_data(tmp_path, started):
    # While it runs, another run must not delete its directory.
    args = {'name': 'image_folder', 'data_dir': str(tmp_path / 'in')}
    (hidden,) = _leftovers(tmp_path)
    with pytest.raises(DataError):
        convert(args, tmp_path / 'out', shards=999)
    assert _leftovers(tmp_path) == [hidden]
    started.kill()
    started.wait()
    time.sleep(0.1)
    assert _leftovers(tmp_path) == [hidden] and hidden.startswith('.')
    with pytest.raises(DataError):
        data.open_dataset('tfrecord', str(tmp_path / 'out'))
    with pytest.raises(DataError):
        data.open_dataset('tfrecord', str(tmp_path))
    with pytest.raises(DataError):
        data.open_dataset('tfrecord', str(tmp_path / hidden))
    convert(args, tmp_path / 'out')
    assert _leftovers(tmp_path) == ['out']


@pytest.mark.extended
def test_workers_of_a_script_without_a_main_guard(tmp_path):
    """The script is not run again in the workers, nor are modules next to it found."""
    (tmp_path / 'random.py').write_text('raise SystemExit(77)')
    (tmp_path / 'scripts').mkdir()
    script = tmp_path / 'scripts' / 'script.py'
    script.write_text(
        'from input.convert.to_tfrecords import convert\n'
        'print("once")\n'
        'found = convert({"name": "digits"}, "out", workers=2, shards=2)\n'
        'print(sum(s["examples"] for shards in found.shards.values() for s in shards))'
    )
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': _ROOT},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == 'once\n1797\n'
