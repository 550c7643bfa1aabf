"""One process of a test in `test_compat.py`: trains a line, prints what it was.

Usage: python tests/helpers/scripts/compat_task.py MODE MODEL_DIR [STEPS]

MODE is 'quiet', 'mirrored' (two logical CPUs), 'none', 'multi_worker' or
'parameter_server'; the last three read TF_CONFIG. Prints one JSON object.
"""

import json
import os
import sys

from estimator_clf.compat import estimator  # isort: skip  # Before tensorflow: quiet.

import tensorflow as tf

#: y = 2 x + 1.
DATA = {'x': [[0.0], [1.0], [2.0], [3.0]], 'y': [[1.0], [3.0], [5.0], [7.0]]}

#: What `model_fn` saw of the config.
SEEN = {}


def input_fn():
    dataset = tf.data.Dataset.from_tensor_slices(({'x': DATA['x']}, DATA['y']))
    # Long enough for all steps, and with an end, so that an evaluation ends.
    return dataset.repeat(100).batch(4, drop_remainder=True)


def model_fn(features, labels, mode, config):
    # Here, not in `main`: with a strategy in a cluster each task trains a copy of the
    # Estimator, and only the copy's config knows which task it is.
    SEEN.update(
        task_type=config.task_type,
        task_id=config.task_id,
        is_chief=config.is_chief,
        workers=config.num_worker_replicas,
        ps=config.num_ps_replicas,
        global_id=config.global_id_in_cluster,
    )
    v1 = tf.compat.v1
    with v1.variable_scope('line'):
        slope = v1.get_variable('slope', [1, 1], initializer=v1.zeros_initializer())
        offset = v1.get_variable('offset', [1], initializer=v1.zeros_initializer())
    y = tf.matmul(features['x'], slope) + offset
    if mode == estimator.ModeKeys.PREDICT:
        return estimator.EstimatorSpec(mode, predictions={'y': y})
    loss = v1.losses.mean_squared_error(labels, y)
    v1.summary.scalar('offset', offset[0])
    metrics = {'error': v1.metrics.mean_absolute_error(labels, y)}
    optimizer = v1.train.MomentumOptimizer(0.01, 0.5)
    train_op = optimizer.minimize(loss, v1.train.get_global_step())
    return estimator.EstimatorSpec(
        mode, loss=loss, train_op=train_op, eval_metric_ops=metrics
    )


def make_strategy(mode):
    # Not for the evaluator: tf.distribute knows no such job and raises KeyError.
    task = json.loads(os.environ.get('TF_CONFIG', '{}')).get('task', {})
    if task.get('type') == 'evaluator':
        return None
    if mode == 'mirrored':
        cpu = tf.config.list_physical_devices('CPU')[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
        # The default cross-device ops hang on logical CPUs.
        return tf.distribute.MirroredStrategy(
            ['/cpu:0', '/cpu:1'],
            cross_device_ops=tf.distribute.ReductionToOneDevice(),
        )
    if mode == 'multi_worker':
        return tf.distribute.MultiWorkerMirroredStrategy()
    if mode == 'parameter_server':
        return tf.compat.v1.distribute.experimental.ParameterServerStrategy()
    return None


def main(mode, model_dir, steps=3):
    if mode == 'quiet':
        config = estimator.RunConfig()
    else:
        config = estimator.RunConfig(
            train_distribute=make_strategy(mode),
            save_checkpoints_steps=10,
            experimental_max_worker_delay_secs=0,
        )
    line = estimator.Estimator(model_fn, model_dir, config)
    result = None
    if mode == 'quiet':
        line.train(input_fn, max_steps=steps)
        result = line.evaluate(input_fn, steps=1)
    else:
        result = estimator.train_and_evaluate(
            line,
            estimator.TrainSpec(input_fn, max_steps=steps),
            estimator.EvalSpec(input_fn, steps=1, start_delay_secs=0, throttle_secs=0),
        )
        result = result and result[0]
    SEEN['result'] = result and {k: float(v) for k, v in result.items()}
    print(json.dumps(SEEN))


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
