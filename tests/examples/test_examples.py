"""The programs of examples/ run and print what they promise."""

import importlib
import pathlib
import re
import subprocess
import sys

import pytest

from tests.helpers.launching import ROOT

EXAMPLES = pathlib.Path(ROOT, 'examples')
PARTS = pathlib.Path(ROOT, 'docs', 'parts.md').read_text(encoding='utf-8')

# Example -> what it prints, as a regular expression.
OUTPUT = {
    'bare_estimator': r'step 100, accuracy 0\.[89]\d\n',
    'best_checkpoints': r'best: step [246]0\nTrue\n',
    'checkpoints': ''.join(rf'model\.ckpt-{step}\.index\n' for step in (0, 20, 40, 50)),
    'corrupt_images': r'images/odd/7\.png\n1\n',
    'data_dependent_init': r'True\n',
    'early_stopping': r'accuracy has .* step \d+\nTrue\n',
    'eval_plots': r'evaluation/confusion_matrix\n(.*\n)*evaluation/mistakes\n(.*\n)*',
    'evaluation': ''.join(
        rf"{step} \['accuracy', 'examples', 'loss'\] True\n" for step in (20, 40, 50)
    ),
    'exact_resume': r'\d variables, equal: True\n',
    'export_and_serve': r"\['0'\]\n",
    'graceful_shutdown': r'SIGTERM\nmodel\.ckpt-1\n',
    'nan_guard': r'.*step 29\..*step 25.* 0\.2 \(.*\n60 0\.2\n',
    'optimizer': r'True\nTrue 1\.0\n',
    'profiling': r'1\n',
    'recovery': r'True model\.ckpt-30\n',
    'replicas': r'2 model\.ckpt-10\n',
    'step_loop': r'20 True\n40 True\n50 True\n50\n',
    'train_metrics': r'10 True True\n20 True True\n20 lines of keys\n',
    'warm_start': r"\{'restored': 1, 'shape mismatch': 0, 'fresh': 0, 'unused': 0\}\n"
    r'nothing restored\n',
}

# They settle the devices, which a process does once.
OWN_PROCESS = ('replicas',)

# Base classes of hooks and listeners.
INTERFACES = ('StepHook', 'SaveListener')

# What the examples share.
SHARED = ('__init__', 'digits_model')


@pytest.mark.combinations
@pytest.mark.parametrize('name', OUTPUT)
def test_example_prints_what_it_promises(name, tmp_path, capsys):
    if name in OWN_PROCESS:
        done = subprocess.run(
            [sys.executable, '-m', f'examples.{name}', str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        printed = done.stdout
    else:
        importlib.import_module(f'examples.{name}').main(str(tmp_path))
        printed = capsys.readouterr().out
    assert re.fullmatch(OUTPUT[name], printed)


def test_every_example_is_tested_and_listed():
    names = {path.stem for path in EXAMPLES.glob('*.py')} - set(SHARED)
    assert names == set(OUTPUT)
    listed = set(re.findall(r'\(\.\./examples/(\w+)\.py\)', PARTS))
    assert listed == names | set(SHARED) - {'__init__'}


@pytest.mark.parametrize('name', OUTPUT)
def test_docstring_gives_the_command_and_the_cost(name):
    text = (EXAMPLES / f'{name}.py').read_text(encoding='utf-8')
    docstring = text.split('"""')[1]
    assert re.search(rf'^    (.*)python -m examples\.{name}\b', docstring, re.M)
    assert re.search(r'Takes\s+(about\s+\d+\s+)?seconds\.', docstring)


def test_every_hook_has_an_example():
    texts = '\n'.join(p.read_text(encoding='utf-8') for p in EXAMPLES.glob('*.py'))
    for path in pathlib.Path(ROOT, 'estimator_clf', 'hooks').glob('*.py'):
        text = path.read_text(encoding='utf-8')
        for name in re.findall(r'^class (\w+(?:Hook|Listener))\b', text, re.M):
            if name not in INTERFACES:
                assert f'`{name}`' in PARTS and re.search(rf'\b{name}\b', texts), name
