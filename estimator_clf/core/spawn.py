"""Python processes that import this project, wherever the program was started.

They do not look for modules in the current directory, which may hold a `random.py`,
and do not run the program's main module again.
"""

import contextlib
import os
import sys
import types
from collections.abc import Iterator

#: Directory of the packages of this project.
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# `-m` and `-c` put the current directory first, unless PYTHONSAFEPATH is set, which
# Python 3.10 does not know.
_PROGRAM = (
    'import sys; sys.path[: not getattr(sys.flags, "safe_path", False)] = []; '
    'import runpy; runpy.run_module({!r}, run_name="__main__", alter_sys=True)'
)


def module_command(module: str, *arguments: str) -> list[str]:
    """Returns the command line of `python -m MODULE ARGUMENTS`."""
    return [sys.executable, '-c', _PROGRAM.format(module), *arguments]


def module_environment() -> dict[str, str]:
    """Returns the environment in which that command finds this project."""
    paths = [ROOT, *filter(None, [os.environ.get('PYTHONPATH')])]
    return {**os.environ, 'PYTHONPATH': os.pathsep.join(paths)}


@contextlib.contextmanager
def isolated_workers() -> Iterator[None]:
    """Makes `multiprocessing` start processes of this project's modules alone.

    Those that are started inside neither import the main module, which would start
    processes again unless its statements are under `if __name__ == '__main__'`, nor
    search the current directory first. What they run must be in this project.
    """
    main, path = sys.modules['__main__'], list(sys.path)
    safe = os.environ.get('PYTHONSAFEPATH')
    sys.modules['__main__'] = types.ModuleType('__main__')
    sys.path.insert(0, ROOT)
    os.environ['PYTHONSAFEPATH'] = '1'
    try:
        yield
    finally:
        sys.modules['__main__'] = main
        sys.path[:] = path
        if safe is None:
            del os.environ['PYTHONSAFEPATH']
        else:
            os.environ['PYTHONSAFEPATH'] = safe
