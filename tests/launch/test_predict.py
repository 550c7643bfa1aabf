"""Tests of predictions of files, directories and records, and of resuming them."""

import json
import os
import struct
import subprocess
import sys

from estimator_clf.compat import estimator  # noqa: F401

import pytest
import tensorflow as tf

from estimator_clf.core.errors import ConfigError, DataError
from launch.predict import find_files, images
from launch.predictions import Output
from tests.helpers.images import encode, image, write
from tests.helpers.launching import ROOT
from tests.helpers.record_examples import example, write_shard

RESULT = [('dogs', 0.75), ('cats, "black"', 0.25)]
NAMES = ['a.jpg', 'b, c.jpg', 'd"e.jpg', 'f\ng.jpg', 'h\udcff.jpg', 'ü.jpg']


def put(path, kind, names, top=2, facts=None):
    """Writes lines; returns the keys that were there before."""
    with Output(kind, top, str(path), facts or {'model': 'm'}) as out:
        for name in names:
            if name not in out.done:
                out.write(name, RESULT[:top])
        return out.done


class Killed(Exception):
    pass


def put_and_be_killed(path, kind, names):
    with pytest.raises(Killed), Output(kind, 2, str(path), {'model': 'm'}) as out:
        for name in names:
            out.write(name, RESULT)
        raise Killed


@pytest.mark.parametrize('kind', ['csv', 'jsonl'])
def test_a_file_is_there_when_it_is_whole(kind, tmp_path):
    put(tmp_path / 'one', kind, NAMES)
    assert os.listdir(tmp_path) == ['one']
    with pytest.raises(ConfigError, match='exists already'):
        put(tmp_path / 'one', kind, NAMES)


@pytest.mark.parametrize('kind', ['csv', 'jsonl'])
@pytest.mark.parametrize('lost', [0, 1, 9, 40, 60, 90])
def test_resuming_writes_the_same_file(kind, lost, tmp_path):
    """Whatever of the end a kill has cost."""
    put(tmp_path / 'unbroken', kind, NAMES)
    put_and_be_killed(tmp_path / 'killed', kind, NAMES[:4])
    assert not (tmp_path / 'killed').exists()
    partial = tmp_path / 'killed.partial'
    os.truncate(partial, partial.stat().st_size - lost)
    done = put(tmp_path / 'killed', kind, NAMES)
    assert done == set(NAMES[: len(done)])
    assert len(done) >= 4 - (lost > 0) - lost // 30
    wanted = (tmp_path / 'unbroken').read_bytes()
    assert (tmp_path / 'killed').read_bytes() == wanted
    assert sorted(os.listdir(tmp_path)) == ['killed', 'unbroken']


@pytest.mark.parametrize('kind', ['csv', 'jsonl'])
def test_killed_before_the_first_line(kind, tmp_path):
    put_and_be_killed(tmp_path / 'a', kind, [])
    assert put(tmp_path / 'a', kind, NAMES) == set()
    assert len((tmp_path / 'a').read_bytes().splitlines()) >= len(NAMES)


def test_another_model_is_not_mixed_in(tmp_path):
    put_and_be_killed(tmp_path / 'a', 'csv', NAMES)
    with pytest.raises(ConfigError, match="model was 'm', is 'other'.*Remove"):
        put(tmp_path / 'a', 'csv', NAMES, facts={'model': 'other'})


def test_two_do_not_write_into_one_file(tmp_path):
    with Output('csv', 2, str(tmp_path / 'a'), {'model': 'm'}) as out:
        out.write(NAMES[0], RESULT)
        with pytest.raises(ConfigError, match='being written by another process'):
            put(tmp_path / 'a', 'csv', NAMES)
        out.write(NAMES[1], RESULT)
    assert len((tmp_path / 'a').read_text().splitlines()) == 3
    assert os.listdir(tmp_path) == ['a']


def test_what_is_done_is_printed_whatever_comes(capsys):
    with pytest.raises(Killed), Output('table', 1) as out:
        out.write('x.jpg', RESULT[:1])
        raise Killed
    assert 'x.jpg' in capsys.readouterr().out


def test_lines(tmp_path):
    put(tmp_path / 'a', 'jsonl', ['x.jpg'])
    assert json.loads((tmp_path / 'a').read_text()) == {
        'file': 'x.jpg',
        'class': 'dogs',
        'probability': 0.75,
        'top': [
            {'class': 'dogs', 'probability': 0.75},
            {'class': 'cats, "black"', 'probability': 0.25},
        ],
    }
    put(tmp_path / 'b', 'csv', ['x.jpg'])
    assert (tmp_path / 'b').read_text() == (
        'file,class,probability,class_2,probability_2\n'
        'x.jpg,dogs,0.750000,"cats, ""black""",0.250000\n'
    )
    put(tmp_path / 'c', 'csv', [])
    assert (tmp_path / 'c').read_text() == 'file,class,probability\n'


def test_to_the_terminal(capsys):
    for kind in ('table', 'csv', 'jsonl'):
        with Output(kind, 1) as out:
            out.write('x.jpg', RESULT[:1])
        text = capsys.readouterr().out
        assert 'x.jpg' in text and 'dogs' in text and '0.75' in text


@pytest.fixture
def records(tmp_path):
    """Two TFRecord files, one compressed, and the images in them."""
    data = [encode(image(seed=seed), 'PNG') for seed in range(3)]
    for name, compression in (('plain', ''), ('packed', 'GZIP')):
        with tf.io.TFRecordWriter(str(tmp_path / name), compression) as file:
            for encoded in data:
                value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded]))
                features = tf.train.Features(feature={'image/encoded': value})
                file.write(tf.train.Example(features=features).SerializeToString())
    return tmp_path, data


def test_files_and_records(records):
    directory, data = records
    lone = write(directory / 'lone', data[0])
    files = [lone, str(directory / 'plain'), str(directory / 'packed')]
    found = [(key, load()) for key, load in images(files, 'image/encoded')]
    assert [key.removeprefix(f'{directory}/') for key, _ in found] == [
        'lone',
        *(f'plain:{i}' for i in range(3)),
        *(f'packed:{i}' for i in range(3)),
    ]
    assert [load for _, load in found] == [data[0], *data, *data]
    done = {lone, f'{directory}/plain:1'}
    left = [key for key, _ in images(files[:2], 'image/encoded', done)]
    assert left == [f'{directory}/plain:0', f'{directory}/plain:2']


def test_records_of_something_else(records):
    directory, _ = records
    files = [str(directory / 'plain')]
    assert [load() for _, load in images(files, 'other')] == [b''] * 3
    with tf.io.TFRecordWriter(str(directory / 'junk')) as file:
        file.write(b'\xff' * 20)
    assert [load() for _, load in images([str(directory / 'junk')], 'other')] == [b'']


def test_damaged_records_are_named(records):
    directory, data = records
    content = bytearray((directory / 'plain').read_bytes())
    content[-20] ^= 1
    path = write(directory / 'corrupt', bytes(content))
    lone = write(directory / 'lone', data[0])
    found = list(images([path, lone], 'image/encoded'))
    assert [key.removeprefix(f'{directory}/') for key, _ in found] == [
        'corrupt:0',
        'corrupt:1',
        'corrupt',
        'lone',
    ]
    with pytest.raises(DataError, match='corrupt, record 2 cannot be read'):
        found[2][1]()


@pytest.mark.parametrize('left', range(1, 12))
def test_a_file_that_ends_in_the_length_of_a_record_is_cut_short(records, left):
    directory, _ = records
    content = (directory / 'plain').read_bytes()
    with open(directory / 'plain', 'rb') as file:
        (length,) = struct.unpack('<Q', file.read(8))
    path = write(directory / 'cut', content[: 16 + length + left])
    (first, second) = images([path], 'image/encoded')
    assert first[0].endswith('cut:0') and first[1]()
    with pytest.raises(DataError, match='cut short'):
        second[1]()


def test_records_whose_length_looks_like_a_image(tmp_path):
    wanted = int.from_bytes(b'BM', 'little')
    around = len(example(image__encoded=bytes(wanted))) - wanted
    record = example(image__encoded=bytes(wanted - around))
    path = write_shard(tmp_path / 'x', [record])
    assert (tmp_path / 'x').read_bytes()[:2] == b'BM'
    ((key, _),) = images([path], 'image/encoded')
    assert key.endswith('x:0')


@pytest.mark.parametrize('content', [b'', b'text', b'BM', b'GIF89a', b'\x78\x9c'])
def test_what_is_no_record_file_is_taken_for_a_image(content, tmp_path):
    path = write(tmp_path / 'x', content)
    if content != b'\x78\x9c':  # Might be compressed, as far as two bytes tell.
        ((key, load),) = images([path], 'image/encoded')
        assert key == path and load() == content
    missing = str(tmp_path / 'none')
    ((key, load),) = images([missing], 'image/encoded')
    with pytest.raises(FileNotFoundError):
        load()


def test_directories_globs_and_what_is_not_there(tmp_path):
    for name in ('b/2.png', 'a/1.jpg', 'a/notes.txt'):
        write(tmp_path / name, b'x')
    found = find_files([str(tmp_path)])
    assert found == [str(tmp_path / 'a/1.jpg'), str(tmp_path / 'b/2.png')]
    found = find_files([str(tmp_path / '*/*.txt')])
    assert found == [str(tmp_path / 'a/notes.txt')]
    with pytest.raises(ConfigError, match='no images at'):
        find_files([str(tmp_path / '*.jpg')])
    with pytest.raises(ConfigError, match='give images'):
        find_files([])


def test_names_of_any_bytes_are_printed_as_they_are():
    program = 'from launch import app; app.run(lambda _: print("caf\\udce9.png"), str)'
    done = subprocess.run(
        [sys.executable, '-c', program],
        cwd=ROOT,
        env={**os.environ, 'PYTHONIOENCODING': 'utf-8:strict'},
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == b'caf\xe9.png\n'


def test_without_a_standard_error():
    program = 'import sys; from launch import app; '
    program += 'app.run(lambda _: print(1, file=sys.stderr), str)'
    done = subprocess.run(
        ['sh', '-c', f"exec {sys.executable} -c '{program}' 2>&-"],
        cwd=ROOT,
        capture_output=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, b'')


def test_special_files_are_read_if_they_are_open_pipes_and_refused_otherwise(tmp_path):
    os.mkfifo(tmp_path / 'fifo.jpg')
    write(tmp_path / 'a.jpg', encode(image(), 'JPEG'))
    assert find_files([str(tmp_path)]) == [str(tmp_path / 'a.jpg')]
    for path in (tmp_path / 'fifo.jpg', '/dev/zero'):
        with pytest.raises(ConfigError, match=f'{path} is a '):
            find_files([str(path)])
    content = encode(image(), 'PNG')
    reader, writer = os.pipe()
    os.write(writer, content)
    os.close(writer)
    path = f'/dev/fd/{reader}'
    ((key, read),) = images(find_files([path]), 'image/encoded')
    assert (key, read()) == (path, content)
    os.close(reader)


@pytest.mark.parametrize('path', ['gs://b/a.jpg', 'https://x/a.jpg', '', 'file:///a'])
def test_arguments_that_are_no_paths_are_refused(path):
    with pytest.raises(ConfigError, match='an image must'):
        find_files([path])
