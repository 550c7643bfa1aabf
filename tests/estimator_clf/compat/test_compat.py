"""Estimator from `compat`, in one process and in clusters of processes."""

import ast
import importlib
import importlib.metadata
import importlib.util
import json
import logging
import os
import pathlib
import socket
import subprocess
import sys
import textwrap
import types
import warnings

import numpy as np
import pytest

from tests.helpers.launching import run_program

from estimator_clf.compat import EstimatorImportError, estimator  # isort: skip
from estimator_clf.compat import _load, _noise, _training, _wheel  # isort: skip

import tensorflow as tf

ROOT = pathlib.Path(__file__).resolve().parents[3]
TASK = ROOT / 'tests' / 'helpers' / 'scripts' / 'compat_task.py'

#: Seconds after which a process of a test counts as hanging.
TIMEOUT = 240

has_own_estimator = pytest.mark.skipif(
    getattr(tf, 'estimator', None) is None,
    reason='needs a TensorFlow that has tf.estimator (2.15)',
)
has_no_estimator = pytest.mark.skipif(
    getattr(tf, 'estimator', None) is not None,
    reason='needs a TensorFlow without tf.estimator (2.16 or newer)',
)


# -- Garbage collection ----------------------------------------------------------------


@pytest.mark.extended
def test_only_objects_of_tensorflow_are_frozen():
    program = """
        import gc, weakref
        class Cycle:
            def __init__(self):
                self.itself = self
        before = weakref.ref(Cycle())
        gc.disable() if DISABLED else None
        import estimator_clf.compat
        frozen, enabled = gc.get_freeze_count(), gc.isenabled()
        after = weakref.ref(Cycle())
        gc.collect()
        print(before() is None, after() is None, enabled, frozen > 100_000)
    """
    for disabled in (False, True):
        text = textwrap.dedent(program).replace('DISABLED', str(disabled))
        found = run_program(text).split()
        assert found == ['True', 'True', str(not disabled), 'True']


# -- Names -----------------------------------------------------------------------------


def test_has_the_names_of_tf_estimator():
    names = """
        Estimator EstimatorSpec RunConfig ModeKeys TrainSpec EvalSpec
        train_and_evaluate WarmStartSettings VocabInfo add_metrics
        Exporter LatestExporter BestExporter FinalExporter
        CheckpointSaverHook CheckpointSaverListener FeedFnHook FinalOpsHook
        GlobalStepWaiterHook LoggingTensorHook NanLossDuringTrainingError NanTensorHook
        ProfilerHook SecondOrStepTimer SessionRunArgs SessionRunContext SessionRunHook
        SessionRunValues StepCounterHook StopAtStepHook SummarySaverHook
        export.ServingInputReceiver export.TensorServingInputReceiver
        export.build_parsing_serving_input_receiver_fn
        export.build_raw_serving_input_receiver_fn
        export.PredictOutput export.ClassificationOutput export.RegressionOutput
        export.EvalOutput export.ExportOutput
        experimental.InMemoryEvaluatorHook experimental.make_early_stopping_hook
        experimental.make_stop_at_checkpoint_step_hook
        experimental.stop_if_no_decrease_hook experimental.stop_if_no_increase_hook
        experimental.stop_if_higher_hook experimental.stop_if_lower_hook
        experimental.build_raw_supervised_input_receiver_fn
        experimental.call_logit_fn
    """.split()
    for name in names:
        found = estimator
        for part in name.split('.'):
            found = getattr(found, part)
        assert callable(found), name


def test_hooks_are_those_of_tensorflow():
    # Hooks of another class would fail isinstance checks.
    assert estimator.SessionRunHook is tf.compat.v1.train.SessionRunHook
    assert issubclass(estimator.StopAtStepHook, tf.compat.v1.train.SessionRunHook)
    assert estimator.ModeKeys.TRAIN == 'train'
    assert estimator.ModeKeys.PREDICT == 'infer'


@has_own_estimator
def test_own_estimator_is_returned_unchanged():
    assert estimator.Estimator is tf.estimator.Estimator
    training = importlib.import_module(_wheel._TRAINING)
    assert training.__file__ != _training.__file__


@has_own_estimator
def test_names_from_the_wheel_are_those_of_tensorflow():
    # The table of names against TensorFlow's own API: the same objects, name by name.
    for ours, theirs in (
        (_wheel.load(), estimator),
        (_wheel.load().export, estimator.export),
        (_wheel.load().experimental, estimator.experimental),
    ):
        for name, symbol in vars(ours).items():
            if not name.startswith('_') and name not in ('export', 'experimental'):
                assert symbol is getattr(theirs, name), name


@has_no_estimator
def test_tf_estimator_stays_unset():
    assert not hasattr(tf, 'estimator')
    assert not hasattr(tf.compat.v1, 'estimator')


@has_no_estimator
def test_missing_name_is_an_error_with_a_list():
    with pytest.raises(AttributeError, match='no canned estimators') as caught:
        estimator.DNNClassifier  # noqa: B018
    assert 'RunConfig' in str(caught.value)
    assert not hasattr(estimator.export, 'no_such_thing')


# -- One process -----------------------------------------------------------------------


def input_fn():
    features = {'x': [[0.0], [1.0], [2.0], [3.0]]}
    dataset = tf.data.Dataset.from_tensors((features, [[1.0], [3.0], [5.0], [7.0]]))
    return dataset.repeat(50)


def model_fn(features, labels, mode, params):
    v1 = tf.compat.v1
    offset = v1.get_variable('offset', [1], initializer=v1.ones_initializer())
    slope = v1.get_variable('slope', [1, 1])
    y = tf.matmul(features['x'], slope) + offset
    outputs = {'serving_default': estimator.export.PredictOutput({'y': y})}
    if mode == estimator.ModeKeys.PREDICT:
        return estimator.EstimatorSpec(
            mode, predictions={'y': y}, export_outputs=outputs
        )
    loss = v1.losses.mean_squared_error(labels, y)
    optimizer = v1.train.GradientDescentOptimizer(params['learning_rate'])
    return estimator.EstimatorSpec(
        mode,
        loss=loss,
        train_op=optimizer.minimize(loss, v1.train.get_global_step()),
        eval_metric_ops={'error': v1.metrics.mean_absolute_error(labels, y)},
    )


def serving_input_receiver_fn():
    x = tf.compat.v1.placeholder(tf.float32, [None, 1], 'x')
    return estimator.export.ServingInputReceiver({'x': x}, {'x': x})


def make_estimator(model_dir, **config):
    config = estimator.RunConfig(tf_random_seed=1, **config)
    return estimator.Estimator(
        model_fn, str(model_dir), config, params={'learning_rate': 0.05}
    )


def test_trains_evaluates_predicts_and_exports(tmp_path):
    line = make_estimator(tmp_path / 'run')
    line.train(input_fn, steps=5)
    early = line.evaluate(input_fn, steps=1)
    line.train(input_fn, max_steps=200)
    late = line.evaluate(input_fn, steps=1)
    assert (early['global_step'], late['global_step']) == (5, 55)  # 50: all data.
    assert late['error'] < early['error']

    predicted = next(line.predict(input_fn))['y']
    exported = line.export_saved_model(
        str(tmp_path / 'export'), serving_input_receiver_fn
    )
    serve = tf.saved_model.load(exported.decode()).signatures['serving_default']
    served = serve(x=tf.constant([[0.0], [10.0]]))['y'].numpy()
    np.testing.assert_allclose(served[0], predicted, rtol=1e-6)
    np.testing.assert_allclose(served[1], [21.0], atol=1.0)


def test_train_and_evaluate_with_exporters(tmp_path):
    line = make_estimator(tmp_path, save_checkpoints_steps=10)
    result, exports = estimator.train_and_evaluate(
        line,
        estimator.TrainSpec(input_fn, max_steps=20),
        estimator.EvalSpec(
            input_fn,
            steps=1,
            throttle_secs=0,
            exporters=[
                estimator.BestExporter('best', serving_input_receiver_fn),
                estimator.FinalExporter('final', serving_input_receiver_fn),
            ],
        ),
    )
    assert result['global_step'] == 20
    assert len(exports) == 2
    assert list((tmp_path / 'export' / 'final').glob('*/saved_model.pb'))


def test_warm_start_and_early_stopping(tmp_path):
    first = make_estimator(tmp_path / 'first')
    first.train(input_fn, steps=10)
    second = estimator.Estimator(
        model_fn,
        str(tmp_path / 'second'),
        params={'learning_rate': 0.0},
        warm_start_from=estimator.WarmStartSettings(str(tmp_path / 'first')),
    )
    stop = estimator.experimental.make_early_stopping_hook(
        second, should_stop_fn=lambda: True, run_every_secs=None, run_every_steps=1
    )
    second.train(input_fn, steps=30, hooks=[stop])
    assert second.get_variable_value('global_step') < 30
    for name in ('offset', 'slope'):
        assert second.get_variable_value(name) == first.get_variable_value(name)


def test_in_memory_evaluator_hook(tmp_path):
    line = make_estimator(tmp_path)
    hook = estimator.experimental.InMemoryEvaluatorHook(
        line, input_fn, steps=1, every_n_iter=5
    )
    line.train(input_fn, steps=10, hooks=[hook])
    assert list((tmp_path / 'eval').glob('events*'))


# -- RunConfig: the task ---------------------------------------------------------------


def test_run_config_without_a_cluster(monkeypatch):
    monkeypatch.delenv('TF_CONFIG', raising=False)
    for strategy in (None, tf.distribute.OneDeviceStrategy('/cpu:0')):
        config = estimator.RunConfig(train_distribute=strategy)
        assert config.task_type == 'worker'
        assert config.task_id == 0
        assert config.is_chief is True
        assert config.num_worker_replicas == 1
        assert config.num_ps_replicas == 0
        assert config.master == ''


CLUSTER = {
    'chief': ['a:1'],
    'worker': ['b:1', 'c:1'],
    'ps': ['d:1', 'e:1'],
}


@pytest.mark.parametrize(
    ('task', 'chief', 'global_id'),
    [('chief:0', True, 0), ('worker:1', False, 2), ('ps:1', False, 4)],
)
def test_run_config_in_a_cluster(monkeypatch, task, chief, global_id):
    task_type, index = task.split(':')
    tf_config = {'cluster': CLUSTER, 'task': {'type': task_type, 'index': int(index)}}
    monkeypatch.setenv('TF_CONFIG', json.dumps(tf_config))
    config = estimator.RunConfig()
    assert (config.task_type, config.task_id) == (task_type, int(index))
    assert config.is_chief is chief
    assert config.num_worker_replicas == 3
    assert config.num_ps_replicas == 2
    assert config.global_id_in_cluster == global_id


@has_no_estimator
def test_standalone_client_is_refused():
    from tensorflow.python.distribute.distribute_config import DistributeConfig

    strategy = tf.distribute.OneDeviceStrategy('/cpu:0')
    with pytest.raises(ValueError, match='standalone-client mode .* not available'):
        estimator.RunConfig(
            experimental_distribute=DistributeConfig(
                train_distribute=strategy, remote_cluster={'worker': ['a:1']}
            )
        )


@has_no_estimator
def test_strategy_given_twice_is_refused():
    from tensorflow.python.distribute.distribute_config import DistributeConfig

    strategy = tf.distribute.OneDeviceStrategy('/cpu:0')
    with pytest.raises(ValueError, match='not both'):
        estimator.RunConfig(
            train_distribute=strategy,
            experimental_distribute=DistributeConfig(train_distribute=strategy),
        )


@has_no_estimator
def test_train_is_refused_in_a_cluster_with_a_strategy(monkeypatch, tmp_path):
    tf_config = {'cluster': CLUSTER, 'task': {'type': 'worker', 'index': 0}}
    monkeypatch.setenv('TF_CONFIG', json.dumps(tf_config))
    strategy = tf.distribute.OneDeviceStrategy('/cpu:0')
    line = make_estimator(tmp_path, train_distribute=strategy, eval_distribute=strategy)
    with pytest.raises(ValueError, match=r'`Estimator.train` .* `train_and_evaluate`'):
        line.train(input_fn, steps=1)


@has_own_estimator
@pytest.mark.parametrize('cluster', [{}, CLUSTER, {'master': ['a:1'], 'ps': ['d:1']}])
@pytest.mark.parametrize('with_strategy', [False, True])
def test_replacement_sets_the_attributes_of_the_original(cluster, with_strategy):
    # TensorFlow 2.15 still has the original.
    real = importlib.import_module(_wheel._TRAINING)
    task = {'type': next(iter(cluster)), 'index': 0} if cluster else {}
    tf_config = {'cluster': cluster, 'task': task} if cluster else {}
    strategy = tf.distribute.OneDeviceStrategy('/cpu:0') if with_strategy else None
    found = []
    for module in (real, _training):
        config = estimator.RunConfig(train_distribute=strategy)
        module.init_run_config(config, tf_config)
        coordinated = module.should_run_distribute_coordinator(config)
        state = {k: v for k, v in vars(config).items() if k != '_session_config'}
        found.append((coordinated, state))
    assert found[0] == found[1]


@has_own_estimator
def test_replacement_places_a_task_like_the_original():
    real = importlib.import_module(_wheel._TRAINING)
    tasks = [(job, i) for job, hosts in CLUSTER.items() for i in range(len(hosts))]
    for task_type, task_id in [*tasks, ('evaluator', 0), (None, None)]:
        context = types.SimpleNamespace(
            cluster_spec=tf.train.ClusterSpec({**CLUSTER, 'evaluator': ['f:1']}),
            task_type=task_type,
            task_id=task_id,
            master_target='grpc://a:1',
            is_chief=task_type == 'chief',
        )
        configs = [estimator.RunConfig(), estimator.RunConfig()]
        real._init_run_config_from_worker_context(configs[0], context)
        _training._take_over_task(configs[1], context)
        states = [dict(vars(c), _session_config=None) for c in configs]
        assert states[0] == states[1]


# -- Processes -------------------------------------------------------------------------


def environment(**extra):
    # Variables of pytest's own process must not affect what the others print.
    drop = ('TF_CONFIG', 'TF_CPP_MIN_LOG_LEVEL', 'PYTHONWARNINGS')
    kept = {k: v for k, v in os.environ.items() if k not in drop}
    return {**kept, 'PYTHONPATH': str(ROOT), 'CUDA_VISIBLE_DEVICES': '', **extra}


def run_python(*arguments):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def run_cluster(mode, model_dir, tasks, steps):
    """Runs one process per task; returns the printed JSON by task.

    Args:
      mode: see `compat_task.py`.
      model_dir: path, shared by all.
      tasks: such as 'worker:1'. Those of 'ps' are ended with the others.
      steps: number of training steps.
    """
    # Bound all at once, so that no port is assigned twice.
    sockets = {task: socket.create_server(('127.0.0.1', 0)) for task in tasks}
    cluster = {}
    for task in tasks:
        job = task.split(':')[0]
        if job != 'evaluator':  # By convention not in the cluster.
            port = sockets[task].getsockname()[1]
            cluster.setdefault(job, []).append(f'127.0.0.1:{port}')
    for listening in sockets.values():
        listening.close()

    processes = {}
    try:
        for task in tasks:
            job, index = task.split(':')
            tf_config = {
                'cluster': cluster,
                'task': {'type': job, 'index': int(index)},
            }
            processes[task] = subprocess.Popen(
                [sys.executable, str(TASK), mode, str(model_dir), str(steps)],
                env=environment(TF_CONFIG=json.dumps(tf_config)),
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        printed = {}
        for task, process in processes.items():
            if task.startswith('ps'):
                continue  # It never ends.
            out, err = process.communicate(timeout=TIMEOUT)
            assert process.returncode == 0, f'{task}: {err}'
            printed[task] = json.loads(out.splitlines()[-1])
        return printed
    finally:
        for process in processes.values():
            if process.poll() is None:
                process.kill()
            process.communicate()


def test_import_train_and_evaluate_print_nothing(tmp_path):
    done = run_python(TASK, 'quiet', tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    if tf.__version__.startswith(('2.16.', '2.17.', '2.18.', '2.19.', '2.20.')):
        # Observed on 2.18: the first session of a process logs this at any log level.
        # Only an earlier session could prevent it, and that would fix the size of the
        # thread pools before `RunConfig.session_config` applies.
        known = ('absl::InitializeLog()', 'MLIR V1 optimization pass is not enabled')
        lines = [line for line in lines if not any(k in line for k in known)]
    # TensorFlow's StepCounterHook reads the global step next to the op that increments
    # it: on a busy machine once before, once after it. Programs of `launch` do not use
    # this hook.
    race = 'It seems that global step (tf.train.get_global_step) has not been increased'
    lines = [line for line in lines if race not in line]
    assert lines == []
    assert json.loads(done.stdout)['result']['global_step'] == 3


@pytest.mark.extended
def test_mirrored_strategy_on_two_logical_cpus(tmp_path):
    done = run_python(TASK, 'mirrored', tmp_path)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout.splitlines()[-1])
    assert printed['result']['global_step'] == 3
    assert printed['is_chief'] is True


@pytest.mark.extended
def test_asynchronous_parameter_server(tmp_path):
    printed = run_cluster('none', tmp_path, ['ps:0', 'chief:0'], steps=20)['chief:0']
    assert printed['task_type'] == 'chief'
    assert (printed['workers'], printed['ps']) == (1, 1)
    assert tf.train.latest_checkpoint(tmp_path).endswith('ckpt-20')


@pytest.mark.extended
def test_multi_worker_mirrored(tmp_path):
    tasks = ['chief:0', 'worker:0']
    printed = run_cluster('multi_worker', tmp_path, tasks, steps=20)
    chief, worker = printed['chief:0'], printed['worker:0']
    assert (chief['task_type'], chief['is_chief'], chief['global_id']) == (
        'chief',
        True,
        0,
    )
    assert (worker['task_type'], worker['is_chief'], worker['global_id']) == (
        'worker',
        False,
        1,
    )
    assert chief['workers'] == worker['workers'] == 2
    assert tf.train.latest_checkpoint(tmp_path).endswith('ckpt-20')


@pytest.mark.slow
@pytest.mark.parametrize(
    ('mode', 'jobs'),
    [
        ('none', ['ps:0', 'ps:1', 'chief:0', 'worker:0', 'evaluator:0']),
        ('parameter_server', ['ps:0', 'chief:0', 'worker:0', 'evaluator:0']),
        ('multi_worker', ['chief:0', 'worker:0', 'evaluator:0']),
    ],
)
def test_cluster_with_an_evaluator(tmp_path, mode, jobs):
    printed = run_cluster(mode, tmp_path, jobs, steps=30)
    assert printed['evaluator:0']['task_type'] == 'evaluator'
    assert printed['worker:0']['workers'] == 2
    step = int(tf.train.latest_checkpoint(tmp_path).rsplit('-')[-1])
    assert step >= 30  # Asynchronous workers may each add one more.
    assert list((tmp_path / 'eval').glob('events*'))


# -- Missing pieces --------------------------------------------------------------------


@pytest.mark.extended
def test_missing_piece_is_named_and_nothing_stays_loaded(tmp_path):
    script = tmp_path / 'missing.py'
    script.write_text(
        textwrap.dedent(
            """
            import sys
            import tensorflow as tf

            lost = 'tensorflow.python.training.device_setter'
            kept = sys.modules[lost]
            sys.modules[lost] = None  # As if TensorFlow had dropped it.
            import tensorflow.python.training as package
            if hasattr(package, 'device_setter'):
                del package.device_setter
            try:
                import estimator_clf.compat
            except ImportError as error:
                print(type(error).__name__, error.missing, error.tensorflow_version)
                print(error)
            sys.modules[lost] = kept
            # TensorFlow 2.15 loads Estimator itself, and cannot retry.
            if not hasattr(tf, 'estimator'):
                # Otherwise other libraries would find an empty package.
                print([name for name in sys.modules if 'tensorflow_estimator' in name])
                from estimator_clf.compat import estimator
                print('second attempt', estimator.RunConfig().task_type)
            """
        )
    )
    done = run_python(script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        'EstimatorImportError tensorflow.python.training.device_setter '
        f'{tf.__version__}'
    )
    assert '2.15 to 2.21' in done.stdout
    assert "pip install 'tensorflow>=2.15" in done.stdout
    if not hasattr(tf, 'estimator'):
        assert done.stdout.endswith('[]\nsecond attempt worker\n')


def pretend_installed(monkeypatch, **versions):
    """Makes `importlib.metadata` report other versions; None: not installed."""
    real = importlib.metadata.version

    def version(distribution):
        if distribution not in versions:
            return real(distribution)
        if versions[distribution] is None:
            raise importlib.metadata.PackageNotFoundError(distribution)
        return versions[distribution]

    monkeypatch.setattr(importlib.metadata, 'version', version)


def test_wheel_not_installed(monkeypatch):
    pretend_installed(monkeypatch, **{'tensorflow-estimator': None})
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        'find_spec',
        lambda name: None if name == 'tensorflow_estimator' else find_spec(name),
    )
    with pytest.raises(EstimatorImportError, match='not installed') as caught:
        _load.load_estimator()
    assert caught.value.missing == 'tensorflow_estimator'
    assert caught.value.remedy == 'pip install tensorflow-estimator==2.15.0'
    assert tf.__version__ in str(caught.value)


def test_wheel_of_another_version_is_refused(monkeypatch):
    pretend_installed(monkeypatch, **{'tensorflow-estimator': '2.14.0'})
    with pytest.raises(EstimatorImportError, match=r'2\.14\.0 .* 2\.15\.0') as caught:
        _load.load_estimator()
    assert 'pip install tensorflow-estimator==2.15.0' in str(caught.value)


def test_tensorflow_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, 'tensorflow', None)
    with pytest.raises(EstimatorImportError, match='TensorFlow is not installed'):
        _load.load_estimator()


@pytest.mark.parametrize('version', ['2.14.1', '2.22.0', '3.0.0-dev20290101', 'mine'])
def test_unknown_version_warns_and_loads(monkeypatch, version):
    monkeypatch.setattr(tf, '__version__', version)
    with pytest.warns(UserWarning, match=f'{version} is not among .*2.15 to 2.21'):
        assert _load.load_estimator().Estimator is estimator.Estimator


@pytest.mark.parametrize(
    ('version', 'protobuf', 'warns'),
    [
        ('2.20.0', '7.0.0', True),
        ('2.20.0', '6.33.1', False),
        ('2.21.0', '7.36.2', False),
        ('2.15.0+nv23.11', '4.25.9', False),
    ],
)
def test_tensorflow_2_20_with_protobuf_7_warns(monkeypatch, version, protobuf, warns):
    monkeypatch.setattr(tf, '__version__', version)
    pretend_installed(monkeypatch, protobuf=protobuf)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        _load.load_estimator()
    texts = [str(w.message) for w in caught if 'protobuf' in str(w.message)]
    assert len(texts) == warns
    if warns:
        assert "pip install 'protobuf<7'" in texts[0]


# -- Early warning: names of TensorFlow that the wheel uses ----------------------------


def unresolved(source):
    """Lists the TensorFlow symbols in Python source that this TensorFlow lacks.

    Checks `from tensorflow… import …` and dotted names that start with a name imported
    this way, through modules and classes.

    Returns:
      Tuple of the sorted missing dotted names and the number of checked names.
    """
    tree = ast.parse(source)
    known, missing, count = {}, set(), 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == 'tensorflow':
                    known[alias.asname or alias.name] = (alias.name, tf)
        elif isinstance(node, ast.ImportFrom):
            if (node.module or '').split('.')[0] != 'tensorflow':
                continue
            for alias in node.names:
                count += 1
                dotted = f'{node.module}.{alias.name}'
                try:
                    exec(
                        f'from {node.module} import {alias.name} as found', scope := {}
                    )
                except ImportError:
                    missing.add(dotted)
                else:
                    known[alias.asname or alias.name] = (dotted, scope['found'])
    for node in ast.walk(tree):
        parts = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        if not parts or not isinstance(node, ast.Name) or node.id not in known:
            continue
        count += 1
        dotted, found = known[node.id]
        for part in parts:
            if not isinstance(found, (types.ModuleType, type)):
                break
            dotted += f'.{part}'
            if not hasattr(found, part):
                missing.add(dotted)
                break
            found = getattr(found, part)
    return sorted(missing), count


def test_scan_finds_missing_names():
    missing, count = unresolved(
        'import tensorflow as tf\n'
        'from tensorflow.python.framework import ops, no_such_module\n'
        'tf.compat.v1.train.Saver; tf.compat.v1.no_such_name; ops.Graph\n'
        'ops.no_such_symbol.deeper\n'
    )
    assert missing == [
        'tensorflow.compat.v1.no_such_name',
        'tensorflow.python.framework.no_such_module',
        'tensorflow.python.framework.ops.no_such_symbol',
    ]
    assert count >= 6


def test_all_tensorflow_symbols_of_the_wheel_resolve():
    modules = {*_wheel.NAMES, *_wheel.EXPORT_NAMES, *_wheel.EXPERIMENTAL_NAMES}
    # Imported by these.
    modules |= {'canned.metric_keys', 'export.export_lib', 'gc', 'util'}
    missing, total = {}, 0
    for name in sorted(modules):
        module = importlib.import_module(f'{_wheel._ROOT}.{name}')
        lost, count = unresolved(pathlib.Path(module.__file__).read_text())
        total += count
        if lost:
            missing[name] = lost
    assert missing == {}
    assert total > 900  # Otherwise the scan read the wrong files.


# -- Noise -----------------------------------------------------------------------------


def test_deprecation_notices_are_dropped_and_warnings_retained(caplog):
    logger = logging.getLogger('tensorflow')
    with caplog.at_level(logging.WARNING):
        logger.addHandler(caplog.handler)
        try:
            logger.warning('From %s: %s (from %s) is deprecated and …', 'a', 'b', 'c')
            logger.warning('From %s: The name %s is deprecated. …', 'a', 'b')
            logger.warning('The batch of %s is empty', 'a')
            logger.error('From %s: %s is deprecated', 'a', 'b')
        finally:
            logger.removeHandler(caplog.handler)
    kept = {record.getMessage() for record in caplog.records}
    assert kept == {'The batch of a is empty', 'From a: b is deprecated'}


def test_python_deprecations_of_tensorflow_alone_are_dropped():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        _noise.silence_deprecations()
        for module in ('tensorflow.python.ops', 'keras.src', 'my_model', 'kerasish'):
            warnings.warn_explicit('old', DeprecationWarning, 'f.py', 1, module)
        warnings.warn_explicit('real', RuntimeWarning, 'f.py', 2, 'tensorflow.python')
    kept = [(w.category, str(w.message)) for w in caught]
    assert kept == [(DeprecationWarning, 'old')] * 2 + [(RuntimeWarning, 'real')]


NOISE = 'WARNING: All log messages before absl::InitializeLog() is called …'


@pytest.mark.parametrize(('level', 'noise'), [('2', False), ('3', False), ('0', True)])
def test_start_up_lines_are_dropped_and_others_printed(
    monkeypatch, capfd, level, noise
):
    monkeypatch.setenv('TF_CPP_MIN_LOG_LEVEL', level)
    with _noise.quiet_startup():
        os.write(2, f'{NOISE}\nE0000 cuda.cc: out of memory\n'.encode())
        print('from Python', file=sys.stderr)
    err = capfd.readouterr().err
    assert 'out of memory' in err and 'from Python' in err
    assert (NOISE in err) is noise


def test_start_up_lines_are_printed_after_an_exception(monkeypatch, capfd):
    monkeypatch.setenv('TF_CPP_MIN_LOG_LEVEL', '2')
    with pytest.raises(RuntimeError), _noise.quiet_startup():
        os.write(2, b'last words\n')
        raise RuntimeError
    os.write(2, b'after\n')
    assert capfd.readouterr().err == 'last words\nafter\n'


def test_log_level_of_the_user_is_not_changed():
    script = (
        'import os, sys; os.environ["TF_CPP_MIN_LOG_LEVEL"] = "1";'
        'import estimator_clf;'
        'print(os.environ["TF_CPP_MIN_LOG_LEVEL"], "tensorflow" in sys.modules)'
    )
    assert run_python('-c', script).stdout.split() == ['1', 'False']
