"""Start and end of every program: flags, help, error messages, exit codes.

0: done. 1: the data or the machine stopped it. 2: an invalid flag or setting. 130:
interrupted from the keyboard.
"""

import os
import re
import sys
from collections.abc import Callable, Sequence

from absl import flags

from estimator_clf.config.groups.fields import FIELDS
from estimator_clf.core.errors import ConfigError, UserError
from launch import flag_errors, recipes

FLAGS = flags.FLAGS

_HELP_FLAGS = {'--help', '-help', '-h', '--h', '-?'}


def run(main: Callable[[list[str]], int | None], help_text: Callable[[], str]) -> None:
    """Runs a program to its end and exits.

    Args:
      main: function (positional arguments) that returns an exit code or None.
      help_text: function that returns what `--help` prints.
    """
    for name in ('stdout', 'stderr'):
        if getattr(sys, name) is None:  # It is closed: `2>&-`.
            setattr(sys, name, open(os.devnull, 'w', encoding='utf-8'))
    # File names with any bytes are printed unchanged.
    if getattr(sys.stdout, 'errors', None) == 'strict':
        sys.stdout.reconfigure(errors='surrogateescape')  # type: ignore[union-attr]
    if _HELP_FLAGS & set(sys.argv[1:]):
        print(help_text())
        sys.exit(0)
    try:
        sys.argv = recipes.expand(sys.argv)
        arguments = FLAGS(sys.argv)[1:]
    except ConfigError as error:
        _fail(error, error.exit_code)
    except (flags.Error, ValueError) as error:  # --noxla=3 is a ValueError.
        _fail(flag_errors.message_of(error, sys.argv), 2)
    sys.exit(_guarded(main, arguments))


def _guarded(main, arguments):
    """Calls main; prints user errors as one line, lets tracebacks of bugs through."""
    try:
        return main(arguments) or 0
    except UserError as error:
        _fail(error, error.exit_code)
    except KeyboardInterrupt:
        _fail('interrupted', 130)
    except BrokenPipeError:
        # The reader of a pipe (`| head`) has ended. Python would raise again when it
        # flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno is None:  # Not from the system: a library's use of the class.
            raise
        # Permissions, a full disk: a traceback would not explain more.
        where = f'{error.filename}: ' if error.filename else ''
        _fail(f'{where}{error.strerror}', 1)


def no_arguments(arguments: Sequence[str]) -> None:
    """Raises ConfigError if there are positional arguments."""
    if arguments:
        raise ConfigError(
            f'takes flags only, got {" ".join(arguments)!r}; a value follows an equals '
            'sign: --name=value'
        )


def log_message(text: str) -> None:
    """Prints a message on standard error; standard output is for results."""
    print(flag_names(text), file=sys.stderr, flush=True)


def flag_names(text: object) -> str:
    """Writes arguments that a library names, `batch_size=0`, as flags: --batch_size=0.

    Libraries below `launch/` do not know flags: their messages name arguments in
    backticks. Text in backticks that is not the name of a flag is not changed.
    """
    known = {*FLAGS, *FIELDS, 'recipe'}  # The last is expanded before parsing.

    def as_flag(match):
        return f'--{match[1]}{match[2]}' if match[1] in known else match[0]

    return re.sub(r'`(\w+)((?:=[^`]*)?)`', as_flag, str(text))


def _fail(message, code):
    print(f'error: {flag_names(message)}', file=sys.stderr, flush=True)
    sys.exit(code)
