"""The console command `estimator-clf`, and `--recipe`."""

import os
import pathlib
import subprocess
import sys

import pytest

from estimator_clf.core.errors import ConfigError
from launch import cli
from launch.parsing import recipes
from tests.helpers.launching import ROOT

# The console script that pip installs. Unlike `python -m` it does not search the
# current directory for packages.
SCRIPT = 'import sys; sys.path[:1] = [{!r}]; from launch.cli import main; main()'


def run(*arguments, directory=ROOT):
    return subprocess.run(
        [sys.executable, '-c', SCRIPT.format(ROOT), *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_help_lists_every_program_with_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['estimator-clf', '--help'])
    with pytest.raises(SystemExit) as exit:
        cli.main()
    assert exit.value.code == 0
    text = capsys.readouterr().out
    for path in pathlib.Path(ROOT, 'launch').glob('*.py'):
        if '\ndef run() -> None:' in path.read_text(encoding='utf-8'):
            assert f'\n  {path.stem.replace("_", "-")} ' in text, path
    for program in cli.PROGRAMS:
        (line,) = (
            x for x in text.splitlines() if f' {program} '.replace('_', '-') in x[:17]
        )
        assert line.endswith('.'), f'the first line of launch.{program} is no sentence'
    assert all(name in text for name in recipes.names())


def test_help_does_not_import_tensorflow():
    program = (
        'import sys; from launch import cli; cli.help_text(); '
        "sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, '-c', program], cwd=ROOT, check=True, timeout=60)


@pytest.mark.parametrize('name', ['check-data', 'check_data'])
def test_a_program_runs_with_its_flags_and_exit_code(name, tmp_path):
    # A directory and a module of our packages' names in the current directory.
    (tmp_path / 'input').mkdir()
    (tmp_path / 'input' / '__init__.py').write_text('raise SystemExit(77)')
    (tmp_path / 'launch.py').write_text('raise SystemExit(77)')
    done = run(name, '--dataset=digits', directory=tmp_path)
    assert done.returncode == 0, done.stderr
    assert '1797 examples' in done.stdout
    wrong = run(name, '--dataset=digitz', directory=tmp_path)
    assert wrong.returncode == 2 and '--dataset' in wrong.stderr


def test_help_of_a_program():
    done = run('check-export', '--help')
    assert done.returncode == 0 and '--tolerance' in done.stdout


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([], 'a program is needed: one of train, evaluate,'),
        (['trian'], "unknown program 'trian': did you mean 'train'? it must be one of"),
        (['check_expor'], "did you mean 'check-export'?"),
        (['zzz'], "unknown program 'zzz': it must be one of train,"),
    ],
)
def test_unknown_program(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['estimator-clf', *arguments])
    with pytest.raises(SystemExit) as exit:
        cli.main()
    assert exit.value.code == 2
    assert message in capsys.readouterr().err


def test_version(monkeypatch, capsys):
    from estimator_clf import __version__

    monkeypatch.setattr(sys, 'argv', ['estimator-clf', '--version'])
    with pytest.raises(SystemExit) as exit:
        cli.main()
    assert exit.value.code == 0
    assert capsys.readouterr().out == f'estimator-clf {__version__}\n'


def test_recipes_are_the_packaged_flagfiles():
    for name in recipes.names():
        assert os.path.isfile(recipes.path_of(name))
    assert 'digits' in recipes.names()


def test_recipe_expands_to_a_flagfile_in_its_place():
    path = recipes.path_of('digits')
    assert recipes.expand(['x', '--seed=1', '--recipe=digits', '--epochs=2']) == [
        'x',
        '--seed=1',
        f'--flagfile={path}',
        '--epochs=2',
    ]
    assert recipes.expand(['x', '--recipe', 'digits']) == ['x', f'--flagfile={path}']
    assert recipes.expand(['x', '-recipe=digits']) == ['x', f'--flagfile={path}']
    untouched = ['--recipe=digits', '--recipes=digits', '--', '--recipe=digits']
    assert recipes.expand(untouched) == untouched


@pytest.mark.parametrize('arguments', [['--recipe=digit'], ['--recipe']])
def test_unknown_recipe_lists_the_recipes(arguments):
    with pytest.raises(ConfigError, match='it must be one of .*digits') as error:
        recipes.expand(['x', *arguments])
    assert ("did you mean 'digits'?" in str(error.value)) == (arguments != ['--recipe'])


@pytest.mark.extended
def test_train_with_a_recipe(tmp_path):
    done = run(
        'train',
        '--recipe=digits',
        '--network=linear',
        '--epochs=1',
        '--noexport',
        directory=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'runs' / 'digits-linear' / 'config.json').exists()
    wrong = run('train', '--recipe=digit', directory=tmp_path)
    assert wrong.returncode == 2
    assert "unknown --recipe=digit: did you mean 'digits'?" in wrong.stderr


@pytest.mark.parametrize('packages', ['input estimator_clf model_fns', ''])
def test_modules_of_a_program_are_not_in_the_way(packages, tmp_path):
    """Empty directories, as Kaggle's `input`, and modules of the standard library."""
    for name in packages.split():
        (tmp_path / name).mkdir()
    for name in ('input', 'random', 'tensorflow', 'numpy', 'absl', 'difflib'):
        if not (tmp_path / name).exists():
            (tmp_path / f'{name}.py').write_text('raise SystemExit(77)')
    done = subprocess.run(
        [sys.executable, '-m', 'launch.check_data', '--dataset=digitz'],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': ROOT},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2 and "did you mean 'digits'" in done.stderr
