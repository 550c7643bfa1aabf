"""Provenance of a result: versions, git revision, command, machine."""

import os
import pathlib
import platform
import subprocess
import sys
from importlib import metadata
from typing import Any

_PACKAGES = ('tensorflow', 'tensorflow-estimator', 'numpy', 'tensorflow-datasets')


def collect() -> dict[str, Any]:
    """Returns JSON values: versions, git_revision, command, machine."""
    versions: dict[str, str | None] = {
        'estimator_clf': _own_version(),
        'python': platform.python_version(),
    }
    for package in _PACKAGES:
        versions[package] = _version(package)
    return {
        'versions': versions,
        'git_revision': _git_revision(),
        'command': sys.argv,
        'machine': {'system': platform.platform(), 'cpus': os.cpu_count()},
    }


def _own_version():
    from estimator_clf import __version__

    return __version__


def _version(package):
    for name in (package, f'{package}-cpu'):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def _git_revision():
    """Revision of this project's sources, with '+' if modified; None if unknown."""
    directory = str(pathlib.Path(__file__).resolve().parents[2])
    if not os.path.exists(os.path.join(directory, '.git')):
        return None
    try:
        revision = subprocess.run(
            # Without this option it could lock the index while the user runs git.
            ['git', '--no-optional-locks', '-C', directory]
            + ['describe', '--always', '--abbrev=12', '--dirty=+'],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return revision.stdout.strip() or None
