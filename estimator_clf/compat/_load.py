"""Loads Estimator: TensorFlow's own if it has one, else the wheel."""

import contextlib
import gc
import importlib
import importlib.metadata
import importlib.util
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from estimator_clf.compat._errors import (
    INSTALL_ESTIMATOR,
    INSTALL_TENSORFLOW,
    KNOWN_VERSIONS,
    KNOWN_VERSIONS_TEXT,
    EstimatorImportError,
    missing_symbol,
)
from estimator_clf.compat._keras import defer_keras
from estimator_clf.compat._literal_paths import read_paths_literally
from estimator_clf.compat._noise import (
    has_accelerator,
    quiet_startup,
    silence_deprecations,
)


def load_estimator() -> Any:
    """Loads Estimator and checks the installed versions.

    Returns:
      `tf.estimator` if TensorFlow has it, else a module with the same names.

    Raises:
      EstimatorImportError: if it cannot be loaded.
    """
    tf = _import_tensorflow()
    silence_deprecations()
    read_paths_literally()
    _warn_of_versions(tf.__version__)
    _check_wheel(tf.__version__)
    try:
        estimator = _own_estimator(tf) or _wheel_estimator()
        from estimator_clf.compat import _sessions  # It needs TensorFlow.

        _sessions.stop_retries()
        return estimator
    except (ImportError, AttributeError) as error:
        raise EstimatorImportError(
            'Estimator cannot be loaded: TensorFlow or the tensorflow-estimator wheel '
            'lacks a module or symbol that it needs.',
            missing=missing_symbol(error),
            tensorflow_version=tf.__version__,
            remedy=f"{INSTALL_TENSORFLOW} 'tensorflow-estimator==2.15.0'",
        ) from error


def _import_tensorflow():
    try:
        with quiet_startup():
            with defer_keras(), _freeze_imported_objects():
                tf = importlib.import_module('tensorflow')
            if not has_accelerator():
                # TensorFlow 2.21 logs a missing CUDA driver as an error when it first
                # lists devices. List them now, while such lines are dropped; on a
                # machine with a GPU that would be too early, before the program can
                # set CUDA_VISIBLE_DEVICES.
                tf.config.list_physical_devices()
            return tf
    except ModuleNotFoundError as error:
        if error.name != 'tensorflow':
            raise  # TensorFlow is installed, but one of its dependencies is not.
        raise EstimatorImportError(
            'TensorFlow is not installed.',
            missing='tensorflow',
            tensorflow_version=None,
            remedy=f'{INSTALL_TENSORFLOW} tensorflow-estimator==2.15.0',
        ) from error


@contextlib.contextmanager
def _freeze_imported_objects() -> Iterator[None]:
    """Excludes objects of the first import of TensorFlow from garbage collection.

    Half a million objects that live as long as the process: traversing them takes a
    seventh of the time of the import, and more with each graph.
    """
    if 'tensorflow' in sys.modules:
        yield
        return
    enabled = gc.isenabled()
    gc.collect()  # Earlier garbage must not be frozen.
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def _own_estimator(tf):
    """Returns `tf.estimator`, or None if TensorFlow has none."""
    estimator = getattr(tf, 'estimator', None)
    if estimator is None:
        return None
    # Lazily loaded: only an attribute access shows whether it works.
    estimator.Estimator  # noqa: B018
    return estimator


def _wheel_estimator():
    # Not at the top: TensorFlow 2.15 must not load it.
    from estimator_clf.compat import _wheel

    return _wheel.load()


def _warn_of_versions(tensorflow_version):
    version = _major_minor(tensorflow_version)
    if not KNOWN_VERSIONS[0] <= version <= KNOWN_VERSIONS[1]:
        warnings.warn(
            f'TensorFlow {tensorflow_version} is not among the versions that '
            f'estimator_clf was tested with ({KNOWN_VERSIONS_TEXT}). Trying it anyway; '
            f'if something fails: {INSTALL_TENSORFLOW}',
            stacklevel=2,
        )
    protobuf = _installed('protobuf')
    if version == (2, 20) and protobuf and _major_minor(protobuf) >= (7, 0):
        warnings.warn(
            f'TensorFlow {tensorflow_version} does not work with protobuf {protobuf}: '
            "writing a checkpoint fails. Run: pip install 'protobuf<7' (or use another "
            f'TensorFlow: {INSTALL_TENSORFLOW})',
            stacklevel=2,
        )


def _check_wheel(tensorflow_version):
    installed = _installed('tensorflow-estimator')
    missing = None
    if installed is not None:
        if _major_minor(installed) == (2, 15):
            return
        problem = (
            f'tensorflow-estimator {installed} is installed, but this project needs '
            '2.15.0, its last release.'
        )
    else:
        # Without metadata it is a nightly or a custom build: try it.
        if importlib.util.find_spec('tensorflow_estimator') is not None:
            return
        missing = 'tensorflow_estimator'
        problem = 'The package tensorflow-estimator is not installed.'
    raise EstimatorImportError(
        problem,
        missing=missing,
        tensorflow_version=tensorflow_version,
        remedy=INSTALL_ESTIMATOR,
    )


def _installed(distribution):
    """Returns the version of an installed distribution, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _major_minor(version):
    """Returns the first two numbers of a version, (0, 0) if it starts with none.

    Not `packaging.version`, which raises on the names of some custom builds.
    """
    numbers = re.match(r'(\d+)\.(\d+)', version)
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
