"""Tests of outputs that are closed, full, ended, or not Unicode."""

import os
import stat
import subprocess
import sys

import pytest

from launch.output import streams
from tests.helpers.launching import ROOT

# A program without TensorFlow, as every program starts and ends.
PROGRAM = """
import os, sys
sys.path.insert(0, {root!r})
from launch import app
def main(arguments):
    print('starts', file=sys.stderr, flush=True)
    for _ in range({lines}):
        print({text!r})
        print('message', file=sys.stderr)
    with open({done!r}, 'w') as file:
        file.write(str(file.fileno()))
app.run(main, lambda: 'help\\n' * 20000)
"""


@pytest.fixture
def full(tmp_path):
    """Path of a device that is always full."""
    path = '/dev/full'
    if not os.path.exists(path) or not stat.S_ISCHR(os.stat(path).st_mode):
        path = str(tmp_path / 'full')  # Some containers have none.
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 7))
        except PermissionError:
            pytest.skip('there is no /dev/full')
    return path


@pytest.fixture
def shell(tmp_path):
    """Function that runs the program in a shell: (code, stdout, stderr)."""

    def run(redirection, text='line', lines=5000, argument='', **environment):
        program = tmp_path / 'program.py'
        done = str(tmp_path / 'done')
        program.write_text(
            PROGRAM.format(root=ROOT, text=text, lines=lines, done=done),
            encoding='utf-8',
        )
        line = f'{sys.executable} {program} {argument} {redirection}'
        ended = subprocess.run(
            ['bash', '-c', f'set -o pipefail; {line}'],
            capture_output=True,
            env={**os.environ, **environment},
            timeout=60,
        )
        error = ended.stderr.decode('utf-8', 'replace')
        assert 'Traceback' not in error and 'Exception ignored' not in error
        return ended.returncode, ended.stdout, error

    return run


@pytest.mark.parametrize('argument', ['', '--help'])
@pytest.mark.parametrize('reader', ['true', 'head -1'])
def test_a_reader_that_ends(shell, argument, reader):
    # More lines than a pipe holds: otherwise the program may end before its reader.
    code, _, error = shell(f'2>&- | {reader}', lines=50_000, argument=argument)
    assert code == 1 and not error


@pytest.mark.parametrize('argument', ['', '--help'])
def test_a_full_device(shell, full, argument):
    code, _, error = shell(f'> {full}', argument=argument)
    assert code == 1 and 'No space left on device' in error


@pytest.mark.parametrize('argument', ['', '--help'])
@pytest.mark.parametrize('closed', ['>&-', '>&- 2>&-', '<&- >&- 2>&-', '2>&-'])
def test_closed_streams(shell, argument, closed, tmp_path):
    assert shell(closed, argument=argument)[0] == 0
    if not argument:  # No file takes the number of a standard stream.
        assert int((tmp_path / 'done').read_text()) > 2


@pytest.mark.parametrize('lost', ['2> {}', '2>&1 >/dev/null | head -1'])
def test_messages_that_cannot_be_written_do_not_end_the_work(
    shell, full, lost, tmp_path
):
    code, _, _ = shell(lost.format(full))
    assert code == 0 and (tmp_path / 'done').exists()


@pytest.mark.parametrize('encoding', ['ascii', 'latin-1', 'utf-8'])
def test_names_in_another_encoding_are_escaped(shell, encoding):
    text = 'h\xf6\u732b \udce9 \ud800'
    code, output, _ = shell('', text=text, lines=1, PYTHONIOENCODING=encoding)
    wanted = {
        'ascii': rb'h\xf6\u732b ' + b'\xe9' + rb' \ud800',
        'latin-1': b'h\xf6' + rb'\u732b ' + b'\xe9' + rb' \ud800',
        'utf-8': 'h\xf6\u732b '.encode() + b'\xe9' + rb' \ud800',
    }
    assert code == 0 and output == wanted[encoding] + b'\n'


def test_a_progress_bar_on_a_full_device(full):
    from tqdm import tqdm

    with open(full, 'w') as file:
        stream = streams._Messages(file)
        bar = tqdm(total=3, file=stream, mininterval=0)
        for _ in range(3):
            bar.update()
        bar.write('a message', file=stream)
        bar.close()
        stream.flush()
    assert stream.closed


def test_the_console_command_with_a_full_output(full):
    line = f'{sys.executable} -c "from launch.cli import main; main()" --version'
    for redirection, code in ((f'> {full}', 1), ('| true', 0), ('>&-', 0)):
        done = subprocess.run(
            ['bash', '-c', f'{line} {redirection}'],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code and 'Exception ignored' not in done.stderr
