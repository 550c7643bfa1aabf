"""How every program starts and ends: flags, help, errors in words, exit codes.

0: done. 1: the data or the machine stopped it. 2: a flag or a setting has to be mended.
130: interrupted from the keyboard.
"""

import dataclasses
import os
import re
import sys

from absl import flags

from estimator_clf.config.config import Config
from estimator_clf.core.errors import ConfigError
from launch import recipes

FLAGS = flags.FLAGS

_ASKED_FOR_HELP = {'--help', '-help', '-h', '--h', '-?'}


def run(main, help_text):
    """Runs a program to its end and exits.

    Args:
      main: function (positional arguments) that returns an exit code or None.
      help_text: function that returns what `--help` prints.
    """
    for name in ('stdout', 'stderr'):
        if getattr(sys, name) is None:  # It is closed: `2>&-`.
            setattr(sys, name, open(os.devnull, 'w', encoding='utf-8'))
    # File names of any bytes are printed as they are.
    if getattr(sys.stdout, 'errors', None) == 'strict':
        sys.stdout.reconfigure(errors='surrogateescape')
    if _ASKED_FOR_HELP & set(sys.argv[1:]):
        print(help_text())
        sys.exit(0)
    try:
        sys.argv = recipes.expand(sys.argv)
    except ConfigError as error:
        _fail(error, 2)
    try:
        arguments = FLAGS(sys.argv)[1:]
    except (flags.Error, ValueError) as error:  # --noxla=3 is a ValueError.
        _fail(_explain_flag_error(error), 2)
    sys.exit(_guarded(main, arguments))


def _guarded(main, arguments):
    """Calls main; says a user's mistake in words and lets a bug of ours show."""
    from estimator_clf.core.errors import DataError, RunError, SettingError

    try:
        return main(arguments) or 0
    except (ConfigError, SettingError, DataError) as error:
        _fail(error, 2)
    except RunError as error:
        _fail(error, 1)
    except KeyboardInterrupt:
        _fail('interrupted', 130)
    except BrokenPipeError:
        # The reader of a pipe (`| head`) has had enough. Python would complain once
        # more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno is None:  # Not from the system: somebody's own use of the class.
            raise
        # No right to read or write, a full disk: nothing that a traceback explains.
        where = f'{error.filename}: ' if error.filename else ''
        _fail(f'{where}{error.strerror}', 1)


def no_arguments(arguments):
    """Raises ConfigError if there are positional arguments."""
    if arguments:
        raise ConfigError(
            f'takes flags only, got {" ".join(arguments)!r}; a value belongs behind '
            'an equals sign: --name=value'
        )


def log_message(text):
    """Prints a message on standard error; standard output is for results."""
    print(flag_names(text), file=sys.stderr, flush=True)


def flag_names(text):
    """Writes arguments that a library names, `batch_size=0`, as flags: --batch_size=0.

    Libraries below `launch/` do not know flags: their messages name arguments in
    backticks. Text in backticks that is not the name of a flag is left alone.
    """
    known = {*FLAGS, *(field.name for field in dataclasses.fields(Config))}

    def as_flag(match):
        return f'--{match[1]}{match[2]}' if match[1] in known else match[0]

    return re.sub(r'`(\w+)((?:=[^`]*)?)`', as_flag, str(text))


def _fail(message, code):
    print(f'error: {flag_names(message)}', file=sys.stderr, flush=True)
    sys.exit(code)


def _explain_flag_error(error):
    """absl's message, in our words, with the place in a flagfile where there is one."""
    text = str(error).replace('ERROR:: ', '')
    # flag --batch_size=0: must be at least 1, got 0
    match = re.match(r'flag --(\w+)=.*?: (.*)', text, re.DOTALL)
    if match:
        text = f'--{match[1]} {_wanted(match[2])}'
        value = re.match(r'flag --\w+=(.*?): value should be', str(error), re.DOTALL)
        if value:
            text += f', got {value[1]!r}'
    name = getattr(error, 'flagname', None) or (match and match[1])
    place = name and _place_in_flagfile(name)
    return f'{place}: {text}' if place else text


def _wanted(text):
    """What absl says of a value, as what must hold and what came."""
    if text.endswith('must have a value other than None.'):
        return 'is needed'
    for pattern, wanted in (
        (r"could not convert string to float: ('.*')", 'must be a number'),
        (r"invalid literal for int\(\).*: ('.*')", 'must be a whole number'),
        (r'(.*) is not a positive integer', 'must be at least 1'),
        (r'value should be one of <(.*)>', 'must be one of'),
        (r"\('Non-boolean argument to boolean flag', (.*)\)", 'must be true or false'),
    ):
        match = re.match(pattern, text)
        if match and wanted.endswith('of'):
            return f'{wanted} {match[1].replace("|", ", ")}'
        if match:
            return f'{wanted}, got {match[1]}'
    return text


def _place_in_flagfile(name):
    for argument in sys.argv[1:]:
        match = re.match(r'--?flagfile=(.*)', argument)
        if not match:
            continue
        try:
            with open(match[1], encoding='utf-8') as file:
                lines = file.readlines()
        except OSError:
            continue
        for number, line in enumerate(lines, 1):
            if re.match(rf'\s*--?(no)?{re.escape(name)}\b', line):
                return f'{match[1]}, line {number}'
    return None
