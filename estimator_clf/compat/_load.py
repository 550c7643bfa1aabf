"""Finds Estimator: TensorFlow's own where it has one, else the wheel."""

import contextlib
import gc
import importlib
import importlib.metadata
import importlib.util
import re
import sys
import warnings

from estimator_clf.compat._errors import (
    INSTALL_ESTIMATOR,
    INSTALL_TENSORFLOW,
    KNOWN_VERSIONS,
    KNOWN_VERSIONS_TEXT,
    EstimatorImportError,
    missing_symbol,
)
from estimator_clf.compat._keras import keras_later
from estimator_clf.compat._noise import (
    has_accelerator,
    quiet_startup,
    silence_deprecations,
)


def load_estimator():
    """Loads Estimator and checks the installation around it.

    Returns:
        `tf.estimator` where TensorFlow has it, else a module with the same names.

    Raises:
        EstimatorImportError: if it cannot be loaded.
    """
    tf = _import_tensorflow()
    silence_deprecations()
    _warn_of_versions(tf.__version__)
    _check_wheel(tf.__version__)
    try:
        return _own_estimator(tf) or _wheel_estimator()
    except (ImportError, AttributeError) as error:
        raise EstimatorImportError(
            'Estimator cannot be loaded: TensorFlow or the tensorflow-estimator wheel '
            'lacks something that it needs.',
            missing=missing_symbol(error),
            tensorflow_version=tf.__version__,
            remedy=f"{INSTALL_TENSORFLOW} 'tensorflow-estimator==2.15.0'",
        ) from error


def _import_tensorflow():
    try:
        with quiet_startup():
            with keras_later(), _no_collections():
                tf = importlib.import_module('tensorflow')
            if not has_accelerator():
                # TensorFlow 2.21 reports a missing CUDA driver as an error when it
                # first looks for devices. Let it look now, while such lines are
                # dropped; on a machine with a GPU that would be too early, before
                # the program can set CUDA_VISIBLE_DEVICES.
                tf.config.list_physical_devices()
            return tf
    except ModuleNotFoundError as error:
        if error.name != 'tensorflow':
            raise  # TensorFlow is there, but something that it needs is not.
        raise EstimatorImportError(
            'TensorFlow is not installed.',
            missing='tensorflow',
            tensorflow_version=None,
            remedy=f'{INSTALL_TENSORFLOW} tensorflow-estimator==2.15.0',
        ) from error


@contextlib.contextmanager
def _no_collections():
    """Spares what the first import of TensorFlow makes from garbage collection.

    Half a million objects that stay as long as the process does: to walk over them
    takes a seventh of the time of the import, and some again with each graph.
    """
    if 'tensorflow' in sys.modules:
        yield
        return
    enabled = gc.isenabled()
    gc.collect()  # What a program has left before is not to stay for good.
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def _own_estimator(tf):
    """Returns `tf.estimator`, or None where TensorFlow has none."""
    estimator = getattr(tf, 'estimator', None)
    if estimator is None:
        return None
    # Lazily loaded: only touching a name shows whether it works.
    estimator.Estimator  # noqa: B018
    return estimator


def _wheel_estimator():
    # Not at the top: on TensorFlow 2.15 none of this is to be loaded.
    from estimator_clf.compat import _wheel

    return _wheel.load()


def _warn_of_versions(tensorflow_version):
    version = _major_minor(tensorflow_version)
    if not KNOWN_VERSIONS[0] <= version <= KNOWN_VERSIONS[1]:
        warnings.warn(
            f'TensorFlow {tensorflow_version} is not among the versions that '
            f'estimator_clf was tested with ({KNOWN_VERSIONS_TEXT}). Trying it all the '
            f'same; if something fails: {INSTALL_TENSORFLOW}',
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
        # Without metadata it is a nightly or a build of one's own: let it be tried.
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
    """Returns the version of an installed distribution as str, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _major_minor(version):
    """Returns the first two numbers of a version, (0, 0) if it starts with none.

    Not `packaging.version`: it raises on the names of some hand-made builds.
    """
    numbers = re.match(r'(\d+)\.(\d+)', version)
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
