"""What all tests need of their process."""

import functools
import os
import pathlib
import signal
import sys
import threading

import pytest

from tests.helpers import launching

_HERE = pathlib.Path(__file__).resolve().parent

# A shell's job in the background (`make test &`, some CI machines) ignores SIGINT, and
# so would every process that a test starts and interrupts.
if threading.current_thread() is threading.main_thread():
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)  # Not with `-p no:xdist`.
def pytest_xdist_auto_num_workers(config):
    """One more than there are cores: a test that waits for a process uses none."""
    del config
    return (os.cpu_count() or 1) + 1


# A process of the tests takes a whole file at a time. These take 2 to 4 minutes: begun
# last, one of them would have the end of the run to itself.
_LONG = (
    'docs/test_readme',
    'launch/test_train',
    'input/sources/test_image_cache',
    'launch/test_errors',
    'estimator_clf/training/test_feature_cache',
    'input/sources/test_tfrecords',
    'model_fns/networks/test_networks',
    'estimator_clf/training/test_trainer',
    'estimator_clf/export/test_parity_check',
    'input/test_corrupt_images',
)


@pytest.hookimpl(tryfirst=True)  # Before -m selects.
def pytest_collection_modifyitems(items):
    """Marks combinations after the first as extended; sorts long files first."""
    functions = set()
    for item in items:
        if item.get_closest_marker('combinations'):
            function = item.parent.nodeid, item.originalname
            if function in functions:
                item.add_marker(pytest.mark.extended)
            functions.add(function)
    rank = {name: number for number, name in enumerate(_LONG)}
    items.sort(
        key=lambda item: rank.get(
            str(item.path.relative_to(_HERE).with_suffix('')), len(_LONG)
        )
    )


@functools.cache
def _real_start_process():
    return sys.modules['estimator_clf.export.parity_check'].start_process


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Forks the process of each parity check, except in the tests of that check.

    A fresh process takes 4 s of CPU time to import TensorFlow; most runs have one.
    """
    parity_check = sys.modules.get('estimator_clf.export.parity_check')
    if parity_check is not None:
        real = _real_start_process()
        is_subject = item.get_closest_marker('fresh_parity_check')
        parity_check.start_process = (
            real if is_subject else launching.start_parity_check
        )
