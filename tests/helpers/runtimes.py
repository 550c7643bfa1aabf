"""Opens exported models in the runtimes that they are for."""

import os

from estimator_clf.compat import estimator  # noqa: F401

import pytest
import tensorflow as tf


def onnx_session(path):
    """Returns the session of an export; skips the test without onnxruntime."""
    onnxruntime = pytest.importorskip('onnxruntime', reason='extra: onnx')
    return onnxruntime.InferenceSession(
        os.path.join(path, 'model.onnx'), providers=['CPUExecutionProvider']
    )


def ask_onnx(session, images):
    """Returns the outputs by name."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {'image': images}), strict=True))


def tflite_runner(path, signature='tensor'):
    """Returns what maps inputs by name to outputs by name."""
    interpreter = tf.lite.Interpreter(os.path.join(path, 'model.tflite'))
    return interpreter.get_signature_runner(signature)
