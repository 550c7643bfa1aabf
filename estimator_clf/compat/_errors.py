"""The error for an Estimator that cannot be loaded, and supported versions."""

import re

#: First and last TensorFlow minor version on which this project's tests pass.
KNOWN_VERSIONS = ((2, 15), (2, 21))

#: The same as text, for messages.
KNOWN_VERSIONS_TEXT = '2.15 to 2.21'

#: Without TensorFlow 2.20: it fails with protobuf 7, which pip installs with it.
INSTALL_TENSORFLOW = "pip install 'tensorflow>=2.15,!=2.20.*,<2.22'"

#: The last release of Estimator. Pure Python and without dependencies.
INSTALL_ESTIMATOR = 'pip install tensorflow-estimator==2.15.0'


class EstimatorImportError(ImportError):
    """Estimator cannot be loaded on this installation.

    Attributes:
      tensorflow_version: None if TensorFlow itself is missing.
      missing: the module or symbol that was not found, or None if the problem is
        another one (for example the version of the wheel).
      remedy: the shell command that fixes it.
    """

    def __init__(
        self,
        problem: str,
        *,
        tensorflow_version: str | None,
        remedy: str,
        missing: str | None = None,
    ) -> None:
        self.tensorflow_version = tensorflow_version
        self.missing = missing
        self.remedy = remedy
        lines = [problem]
        if missing:
            lines.append(f'  missing:             {missing}')
        lines += [
            f'  TensorFlow here:     {tensorflow_version or "not installed"}',
            f'  known to work with:  TensorFlow {KNOWN_VERSIONS_TEXT}',
            f'  to fix it:           {remedy}',
        ]
        super().__init__('\n'.join(lines), name=missing)


def missing_symbol(error: ImportError | AttributeError) -> str:
    """Returns the name that was not found, dotted if the error names the module."""
    text = str(error)
    # `ImportError.name_from` exists from Python 3.12 on only.
    for pattern in (
        r"cannot import name '(?P<symbol>[^']+)' from '(?P<module>[^']+)'",
        r"module '(?P<module>[^']+)' has no attribute '(?P<symbol>[^']+)'",
    ):
        found = re.search(pattern, text)
        if found:
            return f'{found["module"]}.{found["symbol"]}'
    return getattr(error, 'name', None) or text
