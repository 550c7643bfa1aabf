"""The error for an Estimator that cannot be loaded, and what it knows to say."""

import re

#: First and last TensorFlow minor version on which this project's tests pass.
KNOWN_VERSIONS = ((2, 15), (2, 21))

#: The same as text, for people.
KNOWN_VERSIONS_TEXT = '2.15 to 2.21'

#: TensorFlow 2.20 is left out: with protobuf 7, which pip chooses, it breaks.
INSTALL_TENSORFLOW = "pip install 'tensorflow>=2.15,!=2.20.*,<2.22'"

#: The last release of Estimator. Pure Python and without dependencies.
INSTALL_ESTIMATOR = 'pip install tensorflow-estimator==2.15.0'


class EstimatorImportError(ImportError):
    """Estimator cannot be loaded on this installation.

    Attributes:
        tensorflow_version: str, or None where TensorFlow itself is missing.
        missing: str, the module or symbol that was not found, or None where something
            else is wrong (for example the version of the wheel).
        remedy: str, the shell command that mends it.
    """

    def __init__(self, problem, *, tensorflow_version, remedy, missing=None):
        self.tensorflow_version = tensorflow_version
        self.missing = missing
        self.remedy = remedy
        lines = [problem]
        if missing:
            lines.append(f'  missing:             {missing}')
        lines += [
            f'  TensorFlow here:     {tensorflow_version or "not installed"}',
            f'  known to work with:  TensorFlow {KNOWN_VERSIONS_TEXT}',
            f'  to mend it:          {remedy}',
        ]
        super().__init__('\n'.join(lines), name=missing)


def missing_symbol(error):
    """Names what an `ImportError` or `AttributeError` did not find.

    Args:
        error: the exception.

    Returns:
        str, dotted where the exception tells the module: `package.module.symbol`.
    """
    text = str(error)
    # `ImportError.name_from` would be the clean way, but came with Python 3.12.
    for pattern in (
        r"cannot import name '(?P<symbol>[^']+)' from '(?P<module>[^']+)'",
        r"module '(?P<module>[^']+)' has no attribute '(?P<symbol>[^']+)'",
    ):
        found = re.search(pattern, text)
        if found:
            return f'{found["module"]}.{found["symbol"]}'
    return getattr(error, 'name', None) or text
