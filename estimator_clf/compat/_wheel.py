"""Loads the `tensorflow-estimator` 2.15 wheel on a TensorFlow that has dropped it.

Three pieces are missing from TensorFlow 2.16 on. Each is replaced only if it is found
to be missing; no version is compared:

1. `tensorflow.python.distribute.estimator_training`: replaced by `_training.py`.
2. The API that the wheel's decorator `estimator_export` registers names with: the
   decorator is replaced by one without effect.
3. The imports of the wheel's `__init__` (TPU and canned estimators): it is never run.
   The package becomes an empty object with the right `__path__`, and the required
   modules are imported one by one.
"""

import importlib
import importlib.util
import sys
import types
from collections.abc import Mapping, Sequence
from typing import Any

_PACKAGE = 'tensorflow_estimator'
_ROOT = f'{_PACKAGE}.python.estimator'
_TRAINING = 'tensorflow.python.distribute.estimator_training'
_EXPORT = f'{_ROOT}.estimator_export'

#: Module of the wheel, below `tensorflow_estimator.python.estimator` -> its names in
#: `tf.estimator`. As in the wheel's `_api/v2/estimator/__init__.py`, without the canned
#: estimators and their heads. `a=b`: `b` of the module is exported as `a`.
NAMES = {
    'estimator': ('Estimator=EstimatorV2', 'VocabInfo', 'WarmStartSettings'),
    'exporter': ('BestExporter', 'Exporter', 'FinalExporter', 'LatestExporter'),
    'extenders': ('add_metrics',),
    'hooks.basic_session_run_hooks': (
        'CheckpointSaverHook',
        'CheckpointSaverListener',
        'FeedFnHook',
        'FinalOpsHook',
        'GlobalStepWaiterHook',
        'LoggingTensorHook',
        'NanLossDuringTrainingError',
        'NanTensorHook',
        'ProfilerHook',
        'SecondOrStepTimer',
        'StepCounterHook',
        'StopAtStepHook',
        'SummarySaverHook',
    ),
    'hooks.session_run_hook': (
        'SessionRunArgs',
        'SessionRunContext',
        'SessionRunHook',
        'SessionRunValues',
    ),
    'mode_keys': ('ModeKeys',),
    'model_fn': ('EstimatorSpec',),
    'run_config': ('RunConfig',),
    'training': ('EvalSpec', 'TrainSpec', 'train_and_evaluate'),
}

#: The same for `tf.estimator.export`.
EXPORT_NAMES = {
    'export.export': (
        'ServingInputReceiver',
        'TensorServingInputReceiver',
        'build_parsing_serving_input_receiver_fn',
        'build_raw_serving_input_receiver_fn',
    ),
    'export.export_output': (
        'ClassificationOutput',
        'EvalOutput',
        'ExportOutput',
        'PredictOutput',
        'RegressionOutput',
    ),
}

#: The same for `tf.estimator.experimental`.
EXPERIMENTAL_NAMES = {
    'early_stopping': (
        'make_early_stopping_hook',
        'stop_if_higher_hook',
        'stop_if_lower_hook',
        'stop_if_no_decrease_hook',
        'stop_if_no_increase_hook',
    ),
    'export.export': ('build_raw_supervised_input_receiver_fn',),
    'hooks.hooks': ('InMemoryEvaluatorHook', 'make_stop_at_checkpoint_step_hook'),
    'model_fn': ('call_logit_fn',),
}


def load() -> Any:
    """Loads the wheel.

    Returns:
      Module with the names of `tf.estimator`.

    Raises:
      ImportError, AttributeError: if anything else than the three pieces is missing.
        `sys.modules` is then unchanged.
    """
    before = {name for name in sys.modules if _is_ours(name)}
    try:
        _supply_package()
        _supply_training()
        _supply_export()
        estimator = _namespace()
        _avoid_keras()
        return estimator
    except Exception:
        # A second attempt must not find a half-loaded package and fail differently.
        for name in [n for n in sys.modules if _is_ours(n) and n not in before]:
            del sys.modules[name]
        raise


def _is_ours(name):
    return name == _TRAINING or name.split('.')[0] == _PACKAGE


def _supply_package():
    if _PACKAGE in sys.modules:
        return
    # For a name without a dot this imports nothing.
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None:
        raise ModuleNotFoundError(f"No module named '{_PACKAGE}'", name=_PACKAGE)
    sys.modules[_PACKAGE] = importlib.util.module_from_spec(spec)


def _supply_training():
    try:
        importlib.import_module(_TRAINING)
    except ModuleNotFoundError as error:
        if error.name != _TRAINING:
            raise
        sys.modules[_TRAINING] = importlib.import_module(
            'estimator_clf.compat._training'
        )


def _supply_export():
    try:
        module = importlib.import_module(_EXPORT)
        # Fails here on TensorFlow 2.16, which removed a name that this looks up.
        module.estimator_export('estimator_clf.probe')
    except (ImportError, AttributeError):
        module = types.ModuleType(_EXPORT, 'Replaces the decorator.')
        module.estimator_export = _NoExport
        sys.modules[_EXPORT] = module


class _NoExport:
    """Replaces the decorator `estimator_export`; has no effect."""

    def __init__(self, *names: str, v1: Any = None) -> None:
        del names, v1

    def __call__(self, symbol: Any) -> Any:
        return symbol

    def export_constant(self, module_name: str, name: str) -> None:
        """Does nothing."""
        del module_name, name


def _namespace():
    estimator = _collect('estimator', NAMES)
    estimator.export = _collect('estimator.export', EXPORT_NAMES)
    estimator.experimental = _collect('estimator.experimental', EXPERIMENTAL_NAMES)
    return estimator


def _avoid_keras():
    """Prevents metrics of an `EstimatorSpec` from loading Keras.

    The wheel checks each for being a Keras metric, which loads Keras and takes a
    second. Nothing is a Keras metric as long as Keras is not loaded.
    """
    module = importlib.import_module(f'{_ROOT}.model_fn')
    if not isinstance(module.tf, _TensorFlowWithoutKeras):
        module.tf = _TensorFlowWithoutKeras(module.tf)


class _TensorFlowWithoutKeras:
    """TensorFlow, but with a `keras.metrics.Metric` that does not load Keras."""

    def __init__(self, tf: Any) -> None:
        class KerasMetricType(type):
            def __instancecheck__(cls, value: object) -> bool:
                loaded = {'keras', 'tf_keras'} & set(sys.modules)
                return bool(loaded) and isinstance(value, tf.keras.metrics.Metric)

        metric = KerasMetricType('Metric', (), {})
        self.keras = types.SimpleNamespace(metrics=types.SimpleNamespace(Metric=metric))
        self._tf = tf

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tf, name)


def _collect(name: str, table: Mapping[str, Sequence[str]]) -> Any:
    """Makes a module `name` of the names in `table`."""
    collected: Any = types.ModuleType(name, f'`tf.{name}` of TensorFlow 2.15.')
    for module_name, symbols in table.items():
        module = importlib.import_module(f'{_ROOT}.{module_name}')
        for symbol in symbols:
            public, _, internal = symbol.partition('=')
            setattr(collected, public, getattr(module, internal or public))

    def missing(attribute):
        raise AttributeError(
            f'`{name}.{attribute}` is not loaded by this project on a TensorFlow '
            'without `tf.estimator` (no canned estimators, heads or TPU). There are: '
            + ', '.join(sorted(a for a in vars(collected) if not a.startswith('_'))),
            name=attribute,
            obj=collected,
        )

    collected.__getattr__ = missing  # Called for missing names only, PEP 562.
    return collected
