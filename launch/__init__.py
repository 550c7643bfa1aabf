"""The programs: flags in, one call, what a person reads out.

Importing it does not import TensorFlow: `--help` and a mistake in a flag answer at
once.
"""

import importlib.machinery
import os
import sys

# Before TensorFlow is first imported: its C++ start-up lines are not for a user.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class _OwnPackages:
    """Finds the packages of this project next to `launch`, and nowhere else.

    `input` is a common name: Kaggle's directory of data, for instance.
    """

    _NAMES = frozenset(('estimator_clf', 'input', 'model_fns'))

    @classmethod
    def find_spec(
        cls, name: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Returns the spec of a top-level package of this project, else None."""
        del path, target
        if name not in cls._NAMES:
            return None
        return importlib.machinery.PathFinder.find_spec(name, [_ROOT])


def _ignore_current_directory() -> None:
    """Removes the current directory from the paths of `python -m launch.PROGRAM`.

    It holds no module that a program needs, but may hold a `random.py` or a
    `tensorflow/` of its user.
    """
    # While Python imports the package for `-m`, that is the name of the program.
    if sys.argv[:1] != ['-m'] or getattr(sys.flags, 'safe_path', False):
        return
    try:
        current = os.getcwd()
    except OSError:
        return
    if sys.path and sys.path[0] in ('', current):
        del sys.path[0]
        # Needed by processes that are started, if the project is not installed.
        if _ROOT not in sys.path:
            sys.path.append(_ROOT)


if not any(finder is _OwnPackages for finder in sys.meta_path):
    sys.meta_path.insert(0, _OwnPackages)
    _ignore_current_directory()
