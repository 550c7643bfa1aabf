"""Networks (pixels -> logits), heads (logits -> `EstimatorSpec`) and optimizers.

    from model_fns import ModelSpec, make_model_fn

    model_fn = make_model_fn(ModelSpec('cnn', num_classes=10, stddev=255.0))
    estimator.Estimator(model_fn, model_dir).train(input_fn, steps=1000)

Importing this package, the specs and the registry does not import TensorFlow, so that a
program's `--help` can list networks, optimizers and their settings quickly. The names
below are imported on first access.
"""

import importlib
import os

# Before the first import of TensorFlow, which reads it once; 2 logs errors only.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

_LAZY = {
    'HeadSpec': 'model_fns.specs',
    'ModelSpec': 'model_fns.specs',
    'OptimizerSpec': 'model_fns.optimizers.config',
    'RuntimeSpec': 'model_fns.specs',
    'SettingError': 'estimator_clf.core.errors',
    'make_model_fn': 'model_fns.model_fn',
    'register': 'model_fns.registry',
}

__all__ = sorted(_LAZY)


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
