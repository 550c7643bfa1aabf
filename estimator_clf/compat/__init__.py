"""The one door to Estimator: `from estimator_clf.compat import estimator`.

`estimator` offers what `tf.estimator` offered to programs with their own `model_fn`:
`Estimator`, `EstimatorSpec`, `ModeKeys`, `RunConfig`, `TrainSpec`, `EvalSpec`,
`train_and_evaluate`, the exporters, the hooks, `export` and `experimental`.

On TensorFlow 2.15 it is `tf.estimator` itself. From 2.16 on, where TensorFlow no
longer has it, it is the last `tensorflow-estimator` wheel (2.15), with the three
pieces supplied that TensorFlow has dropped (see `_wheel.py`). `tf.estimator` is never
set: other libraries look for it to decide which TensorFlow they are running on.

A `model_fn` with `tf.keras.layers` or `tf.compat.v1.layers` needs Keras 2, of which
TensorFlow from 2.16 on is without, too: install `tf_keras` and set
TF_USE_LEGACY_KERAS=1 in the environment. With Keras 3, `tf.compat.v1.layers` raises,
and a checkpoint of `tf.keras.layers` is not found again.

Import this module before `tensorflow`, and TensorFlow's start-up chatter stays away
too (see `_noise.py`).

Raises:
    EstimatorImportError: on import, where Estimator cannot be had. An `ImportError`;
        its text names the versions, what is missing, and the command that helps.
"""

from estimator_clf.compat._errors import EstimatorImportError
from estimator_clf.compat._load import load_estimator

__all__ = ['EstimatorImportError', 'estimator']

estimator = load_estimator()
