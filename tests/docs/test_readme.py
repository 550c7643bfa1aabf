"""The commands and programs of the README run unchanged."""

import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.helpers.launching import ROOT, run_program

README = pathlib.Path(ROOT, 'README.md').read_text(encoding='utf-8')


def _blocks(language):
    return re.findall(rf'^```{language}\n(.*?)^```', README, re.DOTALL | re.MULTILINE)


def _commands():
    for block in _blocks('bash'):
        for line in block.splitlines():
            yield from (part.strip() for part in line.split('&&'))


@pytest.fixture(scope='module')
def clone(tmp_path_factory):
    """A copy of the sources, with a directory of images next to them."""
    directory = tmp_path_factory.mktemp('clone')
    for name in ('estimator_clf', 'input', 'model_fns', 'launch', 'docs'):
        shutil.copytree(pathlib.Path(ROOT, name), directory / name)
    random = np.random.RandomState(0)
    for name, shade in (('cats', 60), ('dogs', 190)):
        (directory / 'images' / name).mkdir(parents=True)
        for index in range(10):  # As few as a newcomer may have.
            size = (*random.randint(20, 60, 2), 3)
            pixels = np.clip(random.normal(shade, 30, size), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(directory / 'images' / name / f'{index}.jpg')
    return directory


def _run(command, directory):
    # The Python of the tests, so that no venv needs to be active.
    words = shlex.split(command, comments=True)
    if words[0] == 'python':
        words[0] = sys.executable
    return subprocess.run(
        words, cwd=directory, capture_output=True, text=True, timeout=600
    )


@pytest.mark.extended
def test_commands(clone):
    """In their order: later commands use the results of earlier ones."""
    done = []
    for command in _commands():
        if command.startswith('pip install') or '-m pytest' in command:
            continue  # CI runs these two lines unchanged, in an empty venv.
        if command.startswith('tensorboard'):
            continue  # See below.
        if '--recipe=transfer' in command:
            continue  # Needs pretrained weights; see tests/launch/test_transfer.py.
        result = _run(command, clone)
        assert result.returncode == 0, f'{command}\n{result.stderr}'
        assert 'port.cc' not in result.stderr, 'TensorFlow logs'
        done.append((command, result.stdout))
    programs = {re.search(r'launch\.(\w+)', command)[1] for command, _ in done}
    assert programs >= {'train', 'predict', 'evaluate', 'export', 'convert'}
    first = next(out for command, out in done if 'seven.png' in command)
    assert first.split()[-2] == '7'
    accuracy = re.search(r'accuracy +(\S+)', done[0][1])
    assert float(accuracy[1]) >= 0.97


@pytest.mark.extended
def test_flags_of_the_tensorboard_command_exist():
    (command,) = (c for c in _commands() if c.startswith('tensorboard'))
    program, *flags = shlex.split(command)
    help_text = subprocess.run(
        [sys.executable, '-m', 'tensorboard.main', '--helpfull'],
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    assert flags[0] in help_text


@pytest.mark.extended
@pytest.mark.parametrize('program', _blocks('python'))
def test_python_programs(program, tmp_path):
    run_program(program, tmp_path)
    assert (tmp_path / 'runs' / 'bare' / 'checkpoint').exists()


def test_links_lead_to_files():
    for target in re.findall(r'\]\((?!http)([^)#]+)\)', README):
        assert pathlib.Path(ROOT, target).exists(), target


def test_named_flags_exist():
    """The flags that README and docs name exist."""
    from estimator_clf.config.groups.fields import FIELDS

    known = {*FIELDS, 'flagfile', 'recipe', 'help', 'logdir'}
    known |= {'version', 'write', 'strict'}  # Of other commands in CONTRIBUTING.
    for path in pathlib.Path(ROOT, 'launch').glob('*.py'):
        known |= set(re.findall(r"\(\s*'([a-z_]+)'", path.read_text()))
    for path in pathlib.Path(ROOT, 'benchmarks').glob('*.py'):
        known |= set(re.findall(r"add_argument\(\s*'--([a-z_]+)'", path.read_text()))
    pages = [*pathlib.Path(ROOT, 'docs').glob('*.md')]
    pages.append(pathlib.Path(ROOT, 'CONTRIBUTING.md'))
    # serve.md also has flags of other programs; test_serve.py checks it.
    texts = [p.read_text(encoding='utf-8') for p in pages if p.name != 'serve.md']
    for text in [README, *texts]:
        for name in re.findall(r'--([a-z][a-z0-9_]+)', text):
            assert name in known or name.removeprefix('no') in known, name
