"""Loads the `tensorflow-estimator` 2.15 wheel on a TensorFlow that has dropped it.

Three pieces are missing from TensorFlow 2.16 on. Each is supplied only where a look
shows that it is missing; no version is compared:

1. `tensorflow.python.distribute.estimator_training`: `_training.py` takes its place.
2. What the wheel's decorator `estimator_export` needs to enter names into
   TensorFlow's API: a decorator that leaves things as they are takes its place.
3. What the wheel's `__init__` imports (TPU and canned estimators): it is never run. The
   package becomes an empty object with the right `__path__`, and the wanted
   modules are imported one by one.
"""

import importlib
import importlib.util
import sys
import types

_PACKAGE = 'tensorflow_estimator'
_ROOT = f'{_PACKAGE}.python.estimator'
_TRAINING = 'tensorflow.python.distribute.estimator_training'
_EXPORT = f'{_ROOT}.estimator_export'

#: Module of the wheel, below `tensorflow_estimator.python.estimator` -> what it gives
#: to `tf.estimator`. As in the wheel's `_api/v2/estimator/__init__.py`, without the
#: canned estimators and their heads. `a=b`: `b` of the module is known as `a`.
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


def load():
    """Loads the wheel.

    Returns:
        Module with the names of `tf.estimator`.

    Raises:
        ImportError, AttributeError: if something else is missing than the three
            pieces. `sys.modules` is then as it was before.
    """
    before = {name for name in sys.modules if _is_ours(name)}
    try:
        _supply_package()
        _supply_training()
        _supply_export()
        estimator = _namespace()
        _keep_keras_out()
        return estimator
    except Exception:
        # A second attempt must not find half of it and fail with another message.
        for name in [n for n in sys.modules if _is_ours(n) and n not in before]:
            del sys.modules[name]
        raise


def _is_ours(name):
    return name == _TRAINING or name.split('.')[0] == _PACKAGE


def _supply_package():
    if _PACKAGE in sys.modules:
        return
    # For a name without a dot this only looks, and runs nothing.
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
        # The name that TensorFlow 2.16 removed is looked up only here.
        module.estimator_export('estimator_clf.probe')
    except (ImportError, AttributeError):
        module = types.ModuleType(_EXPORT, 'Takes the place of the decorator.')
        module.estimator_export = _KeepAsIs
        sys.modules[_EXPORT] = module


class _KeepAsIs:
    """Takes the place of the decorator `estimator_export`; enters nothing anywhere."""

    def __init__(self, *names, v1=None):
        del names, v1

    def __call__(self, symbol):
        return symbol

    def export_constant(self, module_name, name):
        del module_name, name


def _namespace():
    estimator = _collect('estimator', NAMES)
    estimator.export = _collect('estimator.export', EXPORT_NAMES)
    estimator.experimental = _collect('estimator.experimental', EXPERIMENTAL_NAMES)
    return estimator


def _keep_keras_out():
    """Lets an `EstimatorSpec` have metrics without Keras being loaded for it.

    The wheel asks of each whether it is a metric of Keras, and with that loads Keras,
    for a second. Where Keras has not been loaded nothing can be one.
    """
    module = importlib.import_module(f'{_ROOT}.model_fn')
    if not isinstance(module.tf, _KerasAside):
        module.tf = _KerasAside(module.tf)


class _KerasAside:
    """TensorFlow, but `keras.metrics.Metric` can be asked for without a price."""

    def __init__(self, tf):
        class OfKeras(type):
            def __instancecheck__(cls, value):
                loaded = {'keras', 'tf_keras'} & set(sys.modules)
                return bool(loaded) and isinstance(value, tf.keras.metrics.Metric)

        metric = OfKeras('Metric', (), {})
        self.keras = types.SimpleNamespace(metrics=types.SimpleNamespace(Metric=metric))
        self._tf = tf

    def __getattr__(self, name):
        return getattr(self._tf, name)


def _collect(name, table):
    """Makes a module `name` of the names in `table`."""
    collected = types.ModuleType(name, f'Stands for `tf.{name}` of TensorFlow 2.15.')
    for module_name, symbols in table.items():
        module = importlib.import_module(f'{_ROOT}.{module_name}')
        for symbol in symbols:
            public, _, internal = symbol.partition('=')
            setattr(collected, public, getattr(module, internal or public))

    def missing(attribute):
        raise AttributeError(
            f'`{name}.{attribute}` is not part of what this project loads on a '
            'TensorFlow without `tf.estimator` (no canned estimators, heads or TPU). '
            'There are: '
            + ', '.join(sorted(a for a in vars(collected) if not a.startswith('_'))),
            name=attribute,
            obj=collected,
        )

    collected.__getattr__ = missing  # Called only where a name is not found, PEP 562.
    return collected
