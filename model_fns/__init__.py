"""Networks (pixels -> logits) and the head (logits -> `EstimatorSpec`).

Importing this package does not import TensorFlow, so that a program's `--help` may list
the networks, the optimizers and their settings at once. The names below load what
they need when they are first touched:

    import model_fns
    model_fn = model_fns.make_model_fn('cnn', num_classes=10)
    estimator.Estimator(model_fn, model_dir).train(input_fn, steps=1000)
"""

import importlib
import os

# Before the first import of TensorFlow, which reads it once; 2 keeps errors only.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

_LAZY = {
    'make_model_fn': 'model_fns.model_fn',
    'OptimizerSpec': 'model_fns.optimizers.config',
    'SettingError': 'estimator_clf.core.errors',
    'register': 'model_fns.registry',
}

__all__ = sorted(_LAZY)


def __getattr__(name):
    if name not in _LAZY:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__():
    return sorted([*globals(), *_LAZY])
