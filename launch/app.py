"""Start and end of every program: flags, help, error messages, exit codes.

0: done. 1: the data or the machine stopped it, or standard output could not be
written. 2: an invalid flag or setting. 130: interrupted from the keyboard.
"""

import re
import sys
from collections.abc import Callable, Sequence

from absl import flags

from estimator_clf.config.groups.fields import FIELDS
from estimator_clf.core.errors import ConfigError, UserError, is_out_of_memory
from launch.output import crash_notice, streams
from launch.parsing import flag_errors, flagfile_reader, path_flags, recipes

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
    check_memory_limit()
    crash_notice.install(flag_names(_memory_remedies()))
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
    except Exception as error:
        if is_out_of_memory(error):
            _fail(f'out of memory; use {_memory_remedies()}', 1)
        return _system_error(error)


def _system_error(error):
    """Reports errors of files and disks; raises others again."""
    try:
        raise error
    except OSError as error:
        if error.errno is None:  # Not from the system: a library's use of the class.
            raise
        # Permissions, a full disk: a traceback would not explain more.
        where = f'{error.filename}: ' if error.filename else ''
        _fail(f'{where}{error.strerror}', 1)


# Address space without which TensorFlow 2.15 to 2.21 do not start on 2 cores, in bytes.
_LEAST_MEMORY = 2_000_000_000

# What takes less memory, by the flag that a program may have.
_REMEDIES = {
    'batch_size': 'a smaller `batch_size`',
    'eval_batch_size': 'a smaller `eval_batch_size`',
    'image_size': 'a smaller `image_size`',
    'workers': '`workers=1`',
    'count': 'a smaller `count` of images',
    'dream_size': 'a smaller `dream_size`',
    'max_batch_size': 'a smaller `max_batch_size`',
    'check_export': '`check_export=false`',
}


def check_memory_limit() -> None:
    """Ends the program if the process may not use the memory that TensorFlow needs.

    With less, TensorFlow aborts, or waits for threads that could not be started.
    """
    try:
        import resource
    except ImportError:  # Windows.
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if 0 <= limit < _LEAST_MEMORY:
        _fail(
            f'`ulimit -v` must be at least {_LEAST_MEMORY / 1e9:g} GB, which '
            f'TensorFlow needs to start, got {limit / 1e9:.2g} GB; raise it',
            1,
        )


def _memory_remedies():
    """Returns what takes less memory, of what this program has flags for."""
    remedies = [text for name, text in _REMEDIES.items() if name in FLAGS]
    remedies.append('a machine with more free memory (or a higher limit, `ulimit -v`)')
    return f'{", ".join(remedies[:-1])} or {remedies[-1]}'.removeprefix(' or ')


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
    streams.finish(code)
    sys.exit(code)
