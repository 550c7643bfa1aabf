"""The real datasets, where they are."""

import os

import pytest


def real_data(name):
    """Returns a path below ESTIMATOR_CLF_DATA; skips the test without the variable."""
    root = os.environ.get('ESTIMATOR_CLF_DATA')
    if not root:
        pytest.skip('ESTIMATOR_CLF_DATA is not set: the directory with the real data')
    path = os.path.join(root, name)
    if not os.path.exists(path):
        pytest.skip(f'ESTIMATOR_CLF_DATA has no {name}')
    return path
