"""A run of a second: images, a model_fn with dropout, settings, what it left."""

import functools

from estimator_clf.compat import estimator

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.config.config import make_config
from estimator_clf.training.callbacks import Callback
from estimator_clf.training.trainer import train_and_evaluate
from input.formats.arrays import from_arrays
from model_fns import ModelSpec, OptimizerSpec, RuntimeSpec, make_model_fn
from tests.helpers.model_fns import model_fn_of

v1 = tf.compat.v1

NAMES = ('dark', 'middle', 'bright')

#: What in metrics.jsonl depends on the clock and the machine.
TIMED = (
    'time',
    'examples_per_second',
    'input_wait',
    'peak_memory_mb',
    'gpu_peak_memory_mb',
)


def make_images(count, seed=0, size=8):
    """Returns (images uint8 [count, size, size, 1], labels): as bright as its class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count).astype(np.int32)
    noise = rng.integers(0, 120, (count, size, size, 1))
    return (noise + 60 * labels[:, None, None, None]).astype(np.uint8), labels


@functools.cache
def source(train=45, test=20, **options):
    """Returns a `DataSource` of images in memory."""
    arrays = {'train': make_images(train), 'test': make_images(test, seed=1)}
    return from_arrays(arrays, NAMES, name='small', **options)


def small_model_fn(config, info, total_steps, learning_rate_scale=1.0):
    """Makes a small model_fn; see `make_model_fn` of `train_and_evaluate`.

    For the network 'cnn', one with dropout and batch norm, which has everything that
    could be lost at a restart; for 'linear', the one that builds the fastest.
    """
    network = config.network_call.name
    args = {'filters': (4,), 'hidden': (8,), 'dropout': 0.5, 'batch_norm': True}
    model = ModelSpec(
        network,
        args if network == 'cnn' else None,
        num_classes=info.num_classes,
        class_names=info.class_names,
        mean=info.mean,
        stddev=info.stddev,
    )
    return make_model_fn(
        model,
        optimizer=OptimizerSpec(
            name='adam',
            learning_rate=config.optimization.learning_rate * learning_rate_scale,
            schedule='cosine',
            total_steps=total_steps,
        ),
        runtime=RuntimeSpec(seed=config.run.seed),
    )


def small_mlp(optimizer, **kwargs):
    """Returns a replacement of `small_model_fn`: a small mlp.

    Args:
      optimizer: settings of `OptimizerSpec`, except total_steps.
      **kwargs: further settings, see `model_fn_of`.
    """

    def make(config, info, total_steps, learning_rate_scale=1.0):
        return model_fn_of(
            'mlp',
            num_classes=info.num_classes,
            network_args={'hidden': (4,)},
            mean=info.mean,
            stddev=info.stddev,
            optimizer=OptimizerSpec(**optimizer, total_steps=total_steps),
            **kwargs,
        )

    return make


def linear_model_fn(info):
    """Makes the model_fn that builds the fastest."""
    return small_model_fn(make_config(network='linear'), info, 100)


class Recorder(Callback):
    """Records the calls; simulates a kill after a step."""

    class Killed(Exception):
        """Stands for a kill: nothing of the run catches it, no `end` is called."""

    def __init__(self, kill_after=None, kill_in_evaluation=None):
        self.steps, self.evaluations, self.messages = [], [], []
        self._kill_after = kill_after
        self._kill_in_evaluation = kill_in_evaluation

    def on_start(self, plan):
        self.plan = plan

    def on_step(self, step):
        self.steps.append(step)
        if step == self._kill_after:
            raise self.Killed

    def on_evaluate(self, step, split, metrics):
        self.evaluations.append((step, split))
        if step == self._kill_in_evaluation:
            raise self.Killed

    def on_message(self, text):
        self.messages.append(text)


def run(model_dir, callback=None, data=None, **settings):
    """Trains 14 steps of 9 examples, 5 steps an epoch; returns its `Results`."""
    settings = {
        'network': 'linear',
        'batch_size': 9,
        'max_steps': 14,
        'log_every': '4',
        'save_every': '3',
        'eval_every': '1epochs',
        'record_keys': True,
        'learning_rate': 0.01,
        'export': False,
        'augment': 'flip, crop(1)',
        **settings,
    }
    config = make_config(dataset='arrays', model_dir=str(model_dir), **settings)
    return train_and_evaluate(
        config,
        [callback] if callback else [],
        source=data or source(),
        make_model_fn=small_model_fn,
    )


def weights(checkpoint):
    """Returns dict name -> bytes of every variable of a checkpoint."""
    reader = tf.train.load_checkpoint(str(checkpoint))
    return {
        name: np.asarray(reader.get_tensor(name)).tobytes()
        for name in reader.get_variable_to_shape_map()
    }


def timeless(lines):
    """Returns lines of metrics.jsonl without what depends on the clock."""
    return [{k: v for k, v in x.items() if k not in TIMED} for x in lines]


def events(directory):
    """Yields the events of all event files of a directory, in order of the files."""
    import pathlib

    for path in sorted(pathlib.Path(directory).glob('events.out.tfevents.*')):
        yield from v1.train.summary_iterator(str(path))


def scalars(directory):
    """Returns the list of (tag, step, value) of the scalars in a directory's events."""
    return [
        (value.tag, event.step, value.simple_value)
        for event in events(directory)
        for value in event.summary.value
        if value.HasField('simple_value')
    ]


def line_model_fn(features, labels, mode):
    """A bare program's own model_fn: y = w x, squared loss, nothing of ours."""
    w = v1.get_variable('w', [], initializer=v1.constant_initializer(0.5))
    y = w * features['x']
    if mode == estimator.ModeKeys.PREDICT:
        return estimator.EstimatorSpec(mode, predictions={'y': y})
    loss = v1.losses.mean_squared_error(labels, y)
    step = v1.train.get_or_create_global_step()
    train_op = v1.train.GradientDescentOptimizer(0.01).minimize(loss, step)
    metrics = {'error': v1.metrics.mean_absolute_error(labels, y)}
    return estimator.EstimatorSpec(
        mode, loss=loss, train_op=train_op, eval_metric_ops=metrics
    )


def line_input_fn(count=10, batch=4, repeat=True):
    """Returns an input_fn of x = 0, 1, 2, …, y = 2 x."""

    def input_fn():
        x = np.arange(count, dtype=np.float32)
        data = tf.data.Dataset.from_tensor_slices(({'x': x}, 2 * x))
        return (data.repeat() if repeat else data).batch(batch)

    return input_fn


def bare_estimator(model_dir, model_fn=line_model_fn):
    """Returns an Estimator that saves nothing and summarises nothing by itself."""
    return estimator.Estimator(
        model_fn,
        str(model_dir),
        estimator.RunConfig(
            save_summary_steps=None,
            save_checkpoints_steps=None,
            save_checkpoints_secs=None,
            log_step_count_steps=None,
        ),
    )


def killed_and_resumed(directory):
    """Makes a run, and the same run killed after step 4 and resumed.

    The last checkpoint before is of step 3. Asserts that both end in the same weights,
    to the bit.

    Args:
      directory: pathlib.Path of both runs.

    Returns:
      The weights of the last checkpoint, as `weights` returns them.
    """
    run(directory / 'whole')
    with pytest.raises(Recorder.Killed):
        run(directory / 'killed', Recorder(kill_after=4), steps_per_loop='1')
    run(directory / 'killed')
    found, expected = (
        weights(directory / name / 'model.ckpt-14') for name in ('killed', 'whole')
    )
    assert found == expected
    return found
