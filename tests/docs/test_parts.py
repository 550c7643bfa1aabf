"""Every program of docs/parts.md runs as it stands there, and prints what it says."""

import contextlib
import io
import pathlib
import re
import sys

import pytest

from tests.helpers.launching import ROOT, run_program

TEXT = pathlib.Path(ROOT, 'docs', 'parts.md').read_text(encoding='utf-8')

#: (program, what it prints or '').
BLOCKS = re.findall(
    r'^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?',
    TEXT,
    re.DOTALL | re.MULTILINE,
)


def _title(block):
    """The model_dir, by which a program can be told from the others."""
    found = re.search(r"'runs/(\w+)", block[0])
    return found[1] if found else 'my_program'


@pytest.fixture(scope='module')
def directory(tmp_path_factory):
    """Where the reader works: `my_program.py` lies there."""
    directory = tmp_path_factory.mktemp('parts')
    (directory / 'my_program.py').write_text(BLOCKS[0][0], encoding='utf-8')
    yield directory
    sys.modules.pop('my_program', None)


@pytest.mark.parametrize('block', BLOCKS[1:], ids=_title)
def test_program(block, directory, monkeypatch):
    program, printed = block
    if 'devices.set_up' in program:  # This process has used TensorFlow already.
        assert run_program(program, directory) == printed
        return
    monkeypatch.chdir(directory)
    monkeypatch.syspath_prepend(str(directory))
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(program, 'docs/parts.md', 'exec'), {'__name__': '__main__'})
    assert out.getvalue() == printed
    assert (directory / 'runs' / _title(block) / 'checkpoint').exists()


def test_each_part_has_its_program():
    """A hook that is added without a word here is found."""
    hooks = pathlib.Path(ROOT, 'estimator_clf', 'hooks')
    for path in hooks.glob('*.py'):
        for name in re.findall(
            r'^class (\w+(?:Hook|Listener))\b', path.read_text(), re.M
        ):
            assert name == 'StepHook' or f'**`{name}`**' in TEXT, name
