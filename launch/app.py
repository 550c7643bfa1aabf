"""Start and end of every program: flags, help, error messages, exit codes.

0: done. 1: the data or the machine stopped it, or standard output could not be
written. 2: an invalid flag or setting. 130: interrupted from the keyboard.
"""

import re
import sys
from collections.abc import Callable, Sequence

from absl import flags

from estimator_clf.config.groups.fields import FIELDS
from estimator_clf.core.errors import ConfigError, UserError
from launch import flag_errors, flagfile_reader, path_flags, recipes, streams

FLAGS = flags.FLAGS

_HELP_FLAGS = {'--help', '-help', '-h', '--h', '-?'}


def run(main: Callable[[list[str]], int | None], help_text: Callable[[], str]) -> None:
    """Runs a program to its end and exits.

    Args:
      main: function (positional arguments) that returns an exit code or None.
      help_text: function that returns what `--help` prints.
    """
    streams.prepare()
    if _HELP_FLAGS & set(sys.argv[1:]):
        sys.exit(streams.finish(_guarded(lambda _: print(help_text()), [])))
    places: dict[str, str] = {}
    try:
        sys.argv = flagfile_reader.expand(recipes.expand(sys.argv), places)
        arguments = FLAGS(sys.argv)[1:]
        path_flags.check_paths()
    except UserError as error:
        _fail(error, error.exit_code)
    except (flags.Error, ValueError) as error:  # --noxla=3 is a ValueError.
        _fail(flag_errors.message_of(error, sys.argv, places), 2)
    sys.exit(streams.finish(_guarded(main, arguments)))


def _guarded(main, arguments):
    """Calls main; prints user errors as one line, lets tracebacks of bugs through."""
    try:
        return main(arguments) or 0
    except UserError as error:
        _fail(error, error.exit_code)
    except KeyboardInterrupt:
        _fail('interrupted', 130)
    except BrokenPipeError as error:
        return streams.output_failed(error)
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
    known = {*FLAGS, *FIELDS}

    def as_flag(match):
        return f'--{match[1]}{match[2]}' if match[1] in known else match[0]

    return re.sub(r'`(\w+)((?:=[^`]*)?)`', as_flag, str(text))


def _fail(message, code):
    print(f'error: {flag_names(message)}', file=sys.stderr, flush=True)
    streams.finish(code)
    sys.exit(code)
