"""Tests of flagfiles in every syntax that people write."""

import os
import threading

import pytest
from absl import flags

from estimator_clf.core.errors import ConfigError
from launch.parsing import flagfile_reader


@pytest.fixture(autouse=True)
def own_flags(monkeypatch):
    """A set of flags of this test alone."""
    values = flags.FlagValues()
    for name, define in (('epochs', flags.DEFINE_float), ('xla', flags.DEFINE_bool)):
        define(name, None, '', flag_values=values)
    for name in ('data_dir', 'classes', 'network', 'eval_split'):
        flags.DEFINE_string(name, '', '', flag_values=values)
    flags.DEFINE_enum('sampling', 'a', ['a', 'b'], '', flag_values=values)
    monkeypatch.setattr(flagfile_reader, 'FLAGS', values)


def read(tmp_path, content, name='my.flags'):
    """The arguments that a flagfile of this content stands for, and their places."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    places = {}
    return flagfile_reader.expand(['x', f'--flagfile={path}'], places)[1:], places


@pytest.mark.parametrize(
    'encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-32', 'utf-16-be-with-mark']
)
@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_encodings_and_line_ends(encoding, end, tmp_path):
    text = end.join(['# Ä', '--data_dir=böse', '', '--epochs=3', ''])
    if encoding == 'utf-16-be-with-mark':
        content = b'\xfe\xff' + text.encode('utf-16-be')
    else:
        content = text.encode(encoding)
    assert read(tmp_path, content)[0] == ['--data_dir=böse', '--epochs=3']


@pytest.mark.parametrize(
    'line, argument',
    [
        ('--data_dir="my data"', '--data_dir=my data'),
        ("--data_dir='my data'  # where it is", '--data_dir=my data'),
        ('--data_dir="a #1"', '--data_dir=a #1'),
        ('--data_dir=a#1', '--data_dir=a#1'),
        ('--epochs=3  # comment', '--epochs=3'),
        ('--epochs="3"\t// comment', '--epochs=3'),
        ('--sampling=b # c', '--sampling=b'),
        ('  --epochs = 3  ', '--epochs=3'),
        ('-epochs=3', '--epochs=3'),
        ('--noxla', '--noxla'),
        ('--xla', '--xla'),
        ('--classes="tench, Tinca tinca"', '--classes="tench, Tinca tinca"'),
        ('--classes="a#1", b', '--classes="a#1", b'),
        ('--network="mlp(hidden=4)"  # small', '--network=mlp(hidden=4)'),
        ('--network=mlp(x="a # b")', '--network=mlp(x="a # b")'),
        ('--unknown="1"', '--unknown=1'),
        ('cat.jpg', 'cat.jpg'),
    ],
)
def test_a_line(line, argument, tmp_path):
    assert read(tmp_path, line)[0] == [argument]


@pytest.mark.parametrize(
    'line, words',
    [
        ('--data_dir=my #1 photos', 'a comment must be on a line of its own'),
        ('--data_dir=x  # comment', 'a comment must be on a line of its own'),
        ('--classes=a, b  # two', 'a comment must be on a line of its own'),
        ('--data_dir="x', 'the quote " is not closed'),
        ('--epochs 3', 'write --epochs=3'),
        ('epochs=3', 'write --epochs=3'),
        ('--flagfile=missing.flags', 'missing.flags cannot be read: No such file'),
        ('--flagfile=gs://x', 'must be a path on this machine'),
    ],
)
def test_a_line_of_another_form_is_refused_with_its_place(line, words, tmp_path):
    with pytest.raises(ConfigError) as error:
        read(tmp_path, f'# One.\n{line}\n')
    assert f'{tmp_path}/my.flags, line 2: ' in str(error.value)
    assert words in str(error.value)


def test_nested_files_and_places(tmp_path):
    (tmp_path / 'inner.flags').write_text('--epochs=1\n--noxla\n')
    content = f'--data_dir=a\n\n--flagfile={tmp_path}/inner.flags\n--epochs=2\n'
    arguments, places = read(tmp_path, content)
    assert arguments == ['--data_dir=a', '--epochs=1', '--noxla', '--epochs=2']
    assert places['epochs'] == f'{tmp_path}/my.flags, line 4'
    assert places['xla'] == f'{tmp_path}/inner.flags, line 2'


def test_a_file_that_contains_itself_is_refused(tmp_path):
    with pytest.raises(ConfigError, match='my.flags, line 1: .*must not contain its'):
        read(tmp_path, f'--flagfile={tmp_path}/./my.flags')


def test_the_command_line_around_a_file(tmp_path):
    (tmp_path / 'a').write_text('--epochs=1')
    argv = ['x', '--flagfile', f'{tmp_path}/a', '--epochs=2', '--', '--flagfile=b']
    places = {}
    found = flagfile_reader.expand(argv, places)
    assert found == ['x', '--epochs=1', '--epochs=2', '--', '--flagfile=b']
    assert 'epochs' not in places


@pytest.mark.parametrize('content', [b'\xff\xfe\x00', b'--data_dir=caf\xe9', b'a\0b\0'])
def test_what_is_no_text_is_refused(content, tmp_path):
    with pytest.raises(ConfigError, match='line 1: must be text in UTF-8'):
        read(tmp_path, content)


def test_a_directory_and_a_named_pipe_are_refused(tmp_path):
    os.mkfifo(tmp_path / 'fifo')
    for name, words in (('', 'Is a directory'), ('fifo', 'a FIFO')):
        with pytest.raises(ConfigError, match=words):
            flagfile_reader.expand(['x', f'--flagfile={tmp_path}/{name}'], {})


def test_an_open_pipe_is_read():
    reader, writer = os.pipe()
    thread = threading.Thread(target=lambda: os.close(writer))
    os.write(writer, b'--epochs=4\n')
    thread.start()
    found = flagfile_reader.expand(['x', f'--flagfile=/dev/fd/{reader}'], {})
    thread.join()
    os.close(reader)
    assert found == ['x', '--epochs=4']
