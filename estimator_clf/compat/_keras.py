"""Lets TensorFlow start without Keras, which takes a third of its import's time."""

import contextlib
import importlib.metadata
import importlib.util
import sys
import types


@contextlib.contextmanager
def keras_later():
    """Keeps the `import tensorflow` inside from loading Keras.

    From 2.16 on TensorFlow loads Keras 3 at its own end, for what that registers with
    SavedModels, and goes on without where it is missing. Estimator has no use for it;
    `tf.keras` and `import keras` load it afterwards as ever. Does nothing where Keras
    or TensorFlow are loaded already, nor with Keras 2, which Estimator does use.
    """
    if {'keras', 'tensorflow'} & set(sys.modules) or not _is_keras_3():
        yield
        return
    # TensorFlow asks where Keras lies, and is told; it imports `keras.src`, and finds
    # a package without one.
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
