"""`--warm_start` as a user gives it, and on two devices."""

import json
import subprocess
import sys

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.config.config import make_config
from estimator_clf.training.trainer import train_and_evaluate
from tests.helpers.launching import SMALL, launch

# In a process of its own: logical devices can only be made before the first op.
MIRRORED = """
import json, sys
from estimator_clf.compat import estimator
import numpy as np
import tensorflow as tf
from estimator_clf.warm_start.hook import WarmStartHook
from estimator_clf.warm_start.sources import open_source
from model_fns import ModelSpec, OptimizerSpec, make_model_fn
v1 = tf.compat.v1
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices('CPU')[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)

def config(replicas):
    if replicas == 1:
        return estimator.RunConfig()
    # The default cross-device ops hang on logical CPUs.
    return estimator.RunConfig(train_distribute=tf.distribute.MirroredStrategy(
        ['CPU:0', 'CPU:1'], cross_device_ops=tf.distribute.ReductionToOneDevice()))

def input_fn():
    images = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 1)).astype(np.uint8)
    labels = np.arange(32, dtype=np.int32) % 3
    return tf.data.Dataset.from_tensor_slices(({'image': images}, labels)).batch(8)

class Look(v1.train.SessionRunHook):
    def begin(self):
        self.fetched = {
            v.name.partition(':')[0]: [
                x.read_value() for x in getattr(v, 'values', [v])
            ]
            for v in v1.global_variables()
        }

    def after_create_session(self, session, coord):
        self.values = session.run(self.fetched)

model_fn = make_model_fn(
    ModelSpec(
        'cnn', {'filters': (4,), 'hidden': (), 'batch_norm': True},
        num_classes=3, mean=127.0, stddev=70.0,
    ),
    optimizer=OptimizerSpec(name='momentum', ema_decay=0.5),
)
first = estimator.Estimator(model_fn, sys.argv[1] + '/1', config(1))
first.train(input_fn, steps=3)
source = open_source(sys.argv[1] + '/1')
hook, look = WarmStartHook(source), Look()
estimator.Estimator(model_fn, sys.argv[1] + '/2', config(2)).train(
    input_fn, steps=1, hooks=[hook, look])
checked = 0
for name, key in hook.assignment.source_names.items():
    for target in (name, name + '/ExponentialMovingAverage'):
        copies = look.values[target]
        assert len(copies) == 2, target
        for copy in copies:
            np.testing.assert_array_equal(copy, source.read(key), target)
            checked += 1
print(json.dumps({'checked': checked, 'counts': hook.assignment.counts()}))
"""


@pytest.mark.extended
def test_every_replica_gets_the_values(tmp_path):
    done = subprocess.run(
        [sys.executable, '-c', MIRRORED, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    # Kernel, gamma or bias, beta and the moving averages of each layer.
    assert result['counts']['restored'] >= 6 and result['counts']['fresh'] == 0
    assert result['checked'] == 4 * result['counts']['restored']


@pytest.mark.extended
def test_from_an_export(tmp_path):
    config = make_config(
        dataset='digits',
        network='linear',
        batch_size=64,
        max_steps=8,
        ema_decay=0.5,
        model_dir=str(tmp_path / 'first'),
        eval_every='0',
        check_export=False,
    )
    results = train_and_evaluate(config)
    second = tmp_path / 'second'
    done = launch(
        'train',
        *SMALL,
        '--max_steps=1',
        '--noexport',
        '--eval_every=0',
        f'--warm_start={tmp_path}/first/export',
        f'--model_dir={second}',
    )
    assert done.returncode == 0, done.stderr
    assert f'Warm start from {results.export_path}' in done.stderr
    assert 'restored  linear/' in done.stderr
    there = tf.train.load_checkpoint(
        tf.train.latest_checkpoint(str(tmp_path / 'first'))
    )
    begin = tf.train.load_checkpoint(str(second / 'model.ckpt-0'))
    names = [n for n in begin.get_variable_to_shape_map() if n.count('/') == 2]
    kernels = [n for n in names if n.endswith(('kernel', 'bias'))]
    assert len(kernels) == 2
    for name in kernels:
        average = there.get_tensor(name + '/ExponentialMovingAverage')
        assert not np.array_equal(average, there.get_tensor(name))
        np.testing.assert_array_equal(begin.get_tensor(name), average)
