"""Defers the import of Keras, which takes a third of TensorFlow's import time."""

import contextlib
import importlib.metadata
import importlib.util
import sys
import types
from collections.abc import Iterator


@contextlib.contextmanager
def defer_keras() -> Iterator[None]:
    """Prevents the `import tensorflow` inside the block from loading Keras.

    From 2.16 on TensorFlow imports Keras 3 at its end, for its registrations with
    SavedModels, and works without it. Estimator does not use it; `tf.keras` and `import
    keras` load it later as usual. Does nothing if Keras or TensorFlow are loaded
    already, nor with Keras 2, which Estimator does use.
    """
    if {'keras', 'tensorflow'} & set(sys.modules) or not _is_keras_3():
        yield
        return
    # TensorFlow looks up Keras's location, then imports `keras.src`, which this package
    # does not contain.
    keras = types.ModuleType('keras')
    keras.__spec__, keras.__path__ = importlib.util.find_spec('keras'), []
    sys.modules['keras'] = keras
    try:
        yield
    finally:
        if sys.modules.get('keras') is keras:
            del sys.modules['keras']


def _is_keras_3():
    try:
        version = importlib.metadata.version('keras')
    except importlib.metadata.PackageNotFoundError:
        return False
    return int(version.partition('.')[0]) >= 3
