"""Two replicas on two logical CPUs are equal to one on the whole batch."""

import json
import subprocess
import sys

import numpy as np
import pytest

# In a process of its own: logical devices can only be made before the first op.
SCRIPT = """
import json, sys
from estimator_clf.compat import estimator
import numpy as np
import tensorflow as tf
from model_fns import HeadSpec, ModelSpec, OptimizerSpec, RuntimeSpec, make_model_fn
from model_fns.layers.layer_builder import LayerBuilder

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices('CPU')[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)
rng = np.random.default_rng(0)
images = rng.integers(0, 256, (32, 8, 8, 1)).astype(np.uint8)
labels = rng.integers(0, 3, 32).astype(np.int32)


def mirrored():
    # The default cross-device ops hang on logical CPUs.
    return tf.distribute.MirroredStrategy(
        ['CPU:0', 'CPU:1'], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )


def dropped():
    strategy = mirrored()
    with tf.Graph().as_default(), strategy.scope():
        tf.compat.v1.train.get_or_create_global_step()
        masks = strategy.extended.call_for_each_replica(
            lambda: LayerBuilder(True).dropout('o', tf.ones(64), 0.5)
        )
        with tf.compat.v1.train.MonitoredSession() as session:
            masks = session.run(strategy.experimental_local_results(masks))
    return [mask.tolist() for mask in masks]


def run(name, replicas, optimizer, network='mlp', args=None, head=None, runtime=None):
    args = args or {'hidden': (8,)}
    model_fn = make_model_fn(
        ModelSpec(network, args, num_classes=3, mean=127.0, stddev=70.0),
        HeadSpec(**(head or {})),
        OptimizerSpec(**optimizer),
        RuntimeSpec(**(runtime or {})),
    )
    config = estimator.RunConfig()
    if replicas == 2:
        strategy = mirrored()
        config = estimator.RunConfig(
            train_distribute=strategy, eval_distribute=strategy
        )

    def input_fn(batch, repeat):
        data = tf.data.Dataset.from_tensor_slices(({'image': images}, labels))
        return (data.repeat() if repeat else data).batch(batch)

    directory = f'{sys.argv[1]}/{name}{replicas}'
    model = estimator.Estimator(model_fn, directory, config)
    # The batch is per replica: both runs train on 16 examples per step.
    model.train(lambda: input_fn(16 // replicas, True), steps=3)
    names = [n for n in model.get_variable_names() if n.startswith(network + '/')]
    result = {'weights': {n: model.get_variable_value(n).tolist() for n in names}}
    if name in ('adamw', 'batch_norm', 'averaged'):
        metrics = model.evaluate(lambda: input_fn(4, False))
        result['metrics'] = {k: float(v) for k, v in metrics.items()}
    return result


cases = json.loads(sys.argv[2])
result = {
    key: [run(key, replicas, **arguments) for replicas in (1, 2)]
    for key, arguments in cases.items()
}
args = {'filters': (4,), 'hidden': (8,), 'dropout': 0.5, 'batch_norm': True}
result['batch_norm'] = run('batch_norm', 2, {}, 'cnn', args)
result['dropped'] = dropped()
print(json.dumps(result))
"""

CASES = {
    'clip_decay': {
        'optimizer': {
            'name': 'sgd',
            'learning_rate': 0.5,
            'clip_norm': 0.05,
            'weight_decay': 0.3,
        }
    },
    'adamw': {
        'optimizer': {
            'name': 'adamw',
            'learning_rate': 0.01,
            'weight_decay': 0.3,
            # Matches the copy of each replica, whose names TensorFlow extends.
            'decay_multipliers': [['bias$', 2.0]],
        }
    },
    'muon': {
        'optimizer': {'name': 'muon', 'weight_decay': 0.3, 'normalize_weights': True}
    },
    'averaged': {
        'optimizer': {
            'name': 'adam',
            'ema_decay': 0.9,
            'freeze': ['dense1/bias'],
            'lr_multipliers': [['dense', 0.1]],
        },
        'runtime': {'gradient_accumulation_steps': 2},
    },
    'float16': {
        'optimizer': {'name': 'adamw'},
        'runtime': {'compute_dtype': 'float16'},
    },
    'xla': {'optimizer': {}, 'runtime': {'xla': True}},
    'class_weights': {
        'optimizer': {'name': 'sgd'},
        'head': {'class_weights': [1, 20, 0]},
    },
    'class_weights_microbatches': {
        'optimizer': {'name': 'sgd'},
        'head': {'class_weights': [1, 20, 0]},
        'runtime': {'gradient_accumulation_steps': 2, 'xla': True},
    },
}


@pytest.fixture(scope='module')
def result(tmp_path_factory):
    command = [sys.executable, '-c', SCRIPT, str(tmp_path_factory.mktemp('mirrored'))]
    done = subprocess.run(
        [*command, json.dumps(CASES)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.extended
@pytest.mark.parametrize('case', CASES)
def test_weights_are_those_of_one_replica(result, case):
    one, two = (run['weights'] for run in result[case])
    assert set(one) == set(two)
    # Rounding in float16 depends on how the batch is split.
    tolerance = 1e-2 if case == 'float16' else 1e-4
    for name, value in one.items():
        np.testing.assert_allclose(
            value, two[name], rtol=tolerance, atol=tolerance / 100, err_msg=name
        )


def test_metrics_count_the_examples_of_both_replicas(result):
    one, two = (run['metrics'] for run in result['adamw'])
    assert set(one) == set(two)
    assert one == pytest.approx(two, rel=1e-4, abs=1e-6)


def test_moving_averages_move(result):
    weights = result['batch_norm']['weights']
    assert np.abs(weights['cnn/norm1/moving_mean']).min() > 0
    assert np.all(np.array(weights['cnn/norm1/moving_variance']) != 1)
    assert all(np.isfinite(value) for value in result['batch_norm']['metrics'].values())


def test_replicas_drop_different_units(result):
    first, second = result['dropped']
    assert first != second
