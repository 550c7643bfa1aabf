"""Estimator on any supported TensorFlow: `from estimator_clf.compat import estimator`.

`estimator` has what `tf.estimator` had for programs with their own `model_fn`:
`Estimator`, `EstimatorSpec`, `ModeKeys`, `RunConfig`, `TrainSpec`, `EvalSpec`,
`train_and_evaluate`, the exporters, the hooks, `export` and `experimental`.

On TensorFlow 2.15 it is `tf.estimator` itself. From 2.16 on, where TensorFlow no
longer has it, it is the last `tensorflow-estimator` wheel (2.15), with replacements for
the three pieces that TensorFlow has dropped (see `_wheel.py`). `tf.estimator` is never
set: other libraries use it to detect the version of TensorFlow.

A `model_fn` with `tf.keras.layers` or `tf.compat.v1.layers` needs Keras 2, which
TensorFlow from 2.16 on does not have either: install `tf_keras` and set
TF_USE_LEGACY_KERAS=1 in the environment. With Keras 3, `tf.compat.v1.layers` raises,
and variables of `tf.keras.layers` are not restored from checkpoints.

Importing this module before `tensorflow` also filters TensorFlow's start-up messages
(see `_noise.py`).

Raises:
  EstimatorImportError: on import, if Estimator cannot be loaded. An `ImportError`; its
    text names the versions, what is missing, and the command that fixes it.
"""

from estimator_clf.compat._errors import EstimatorImportError
from estimator_clf.compat._load import load_estimator

__all__ = ['EstimatorImportError', 'estimator']

estimator = load_estimator()
