"""Tests of text files of every encoding."""

import os

import pytest

from estimator_clf.core.errors import DataError
from input.text_files import read_lines, read_names


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-32'])
@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_names_are_the_same_in_every_encoding(encoding, end, tmp_path):
    path = tmp_path / 'labels.txt'
    path.write_bytes(f'höund {end}{end}a\u2028b{end}'.encode(encoding))
    assert read_lines(str(path)) == ['höund', '', 'a\u2028b']
    assert read_names(str(path)) == ['höund', 'a\u2028b']


@pytest.mark.parametrize(
    'content, words',
    [
        (b'a\ncaf\xe9\n', r"line 2: must be text in UTF-8, got the bytes b'\\xe9"),
        ('a\nb'.encode('utf-16-le'), 'line 1: .*NUL.*UTF-16 without a byte order'),
        (b'\xff\xfe\x00', 'line 1: must be text'),
    ],
)
def test_what_is_no_text_is_refused_with_its_line(content, words, tmp_path):
    path = tmp_path / 'labels.txt'
    path.write_bytes(content)
    with pytest.raises(DataError, match=f'labels.txt, {words}'):
        read_lines(str(path))


def test_a_named_pipe_and_a_missing_file(tmp_path):
    os.mkfifo(tmp_path / 'labels.txt')
    with pytest.raises(DataError, match='must be a text file, but is a FIFO'):
        read_lines(str(tmp_path / 'labels.txt'))
    with pytest.raises(DataError, match='cannot be read: No such file'):
        read_lines(str(tmp_path / 'other'))
