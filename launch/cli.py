"""The console command `estimator-clf`: one entry point for all programs.

`estimator-clf train …` is `python -m launch.train …`. As an installed script
it does not search the current directory for packages, so that a directory named
`input` there does no harm.
"""

import difflib
import importlib
import sys
import textwrap

from launch.output import streams
from launch.parsing import recipes

#: Modules of this package with a `run()`, in the order of `--help`.
PROGRAMS = (
    'train',
    'evaluate',
    'predict',
    'export',
    'serve',
    'explain',
    'check_data',
    'convert',
    'check_export',
)


def main() -> None:
    """Runs the program that the first argument names, and exits with its code.

    Exits with 2 if the program is missing or unknown.
    """
    streams.prepare()
    name, *arguments = sys.argv[1:] or ['']
    if name in ('-h', '--help', 'help', '--version'):
        sys.exit(streams.finish(_answer(name)))
    program = name.replace('-', '_')
    if program not in PROGRAMS:
        print(f'error: {_unknown(name)}', file=sys.stderr)
        sys.exit(2)
    sys.argv = [f'estimator-clf {program}', *arguments]
    importlib.import_module(f'launch.{program}').run()


def _answer(name):
    try:
        if name == '--version':
            from estimator_clf import __version__

            print(f'estimator-clf {__version__}')
        else:
            print(help_text())
    except OSError as error:
        return streams.output_failed(error)
    return 0


def help_text() -> str:
    """Returns the list of programs with one line each. Does not import TensorFlow."""
    lines = ['usage: estimator-clf PROGRAM [--flag=value ...]', '']
    for name in PROGRAMS:
        lines.append(f'  {name.replace("_", "-"):<14}{_summary(name)}')
    lines += [
        '',
        'estimator-clf PROGRAM --help lists the flags of a program.',
        'Recipes, for estimator-clf train --recipe=NAME:',
        textwrap.indent(textwrap.fill(', '.join(recipes.names()), 86), '  '),
    ]
    return '\n'.join(lines)


def _summary(program):
    """First line of the program's docstring."""
    return importlib.import_module(f'launch.{program}').__doc__.splitlines()[0]


def _unknown(name):
    listed = [program.replace('_', '-') for program in PROGRAMS]
    if not name:
        return f'a program is needed: one of {", ".join(listed)}'
    nearest = difflib.get_close_matches(name.replace('_', '-'), listed, 1)
    hint = f'did you mean {nearest[0]!r}? ' if nearest else ''
    return f'unknown program {name!r}: {hint}it must be one of {", ".join(listed)}'


if __name__ == '__main__':
    main()
