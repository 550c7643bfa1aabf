"""Where a result came from: versions, git revision, command."""

import os
import pathlib
import platform
import subprocess
import sys
from importlib import metadata

_PACKAGES = ('tensorflow', 'tensorflow-estimator', 'numpy', 'tensorflow-datasets')


def collect():
    """Returns a dict of JSON values: versions, git_revision, command, machine."""
    versions = {'estimator_clf': _own_version(), 'python': platform.python_version()}
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
    """The revision of our own sources, with '+' if they were changed; or None."""
    directory = str(pathlib.Path(__file__).resolve().parents[2])
    if not os.path.exists(os.path.join(directory, '.git')):
        return None
    try:
        revision = subprocess.run(
            # It would take the index's lock, in the way of a git of the user's.
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
