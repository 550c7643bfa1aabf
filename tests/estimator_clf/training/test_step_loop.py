"""Many steps in one run of the session: nothing but the speed is another."""

import os
import signal
import threading
import time

from estimator_clf.compat import estimator

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.config.config import make_config
from estimator_clf.config.step_plan import StepPlan
from estimator_clf.core.errors import ConfigError, RunError
from estimator_clf.core.graph_collections import (
    EXAMPLE_IMAGES,
    EXAMPLE_KEYS,
    TRAIN_METRICS,
    NamedTensor,
)
from estimator_clf.core.signals import StopHook, on_signals
from estimator_clf.hooks.checkpoint import CheckpointHook
from estimator_clf.hooks.example_keys import ExampleKeysHook
from estimator_clf.hooks.nan_guard import NanGuardHook, NonFiniteError
from estimator_clf.hooks.train_metrics import TrainMetricsHook
from estimator_clf.loggers import jsonl
from estimator_clf.training.step_loop import StepLoop, make_step_loop
from input.formats.arrays import from_arrays
from input.formats.csv import from_values
from model_fns import ModelSpec, OptimizerSpec, make_model_fn
from tests.helpers.model_fns import model_fn_of
from tests.helpers.small_run import (
    Recorder,
    bare_estimator,
    line_input_fn,
    line_model_fn,
    make_images,
    run,
    scalars,
    source,
    timeless,
    weights,
)

v1 = tf.compat.v1

CNN = {'filters': (4,), 'hidden': (8,), 'dropout': 0.5, 'batch_norm': True}


def train(
    directory,
    steps,
    loop=None,
    *,
    model_fn=line_model_fn,
    input_fn=None,
    hooks=(),
    every=50,
):
    """Trains a bare Estimator with its checkpoints every 50 steps, looped or not."""
    directory.mkdir(exist_ok=True)
    input_fn = input_fn or line_input_fn()
    hooks = [*hooks, CheckpointHook(str(directory), [50])]
    if loop:
        hooks.insert(0, loop.hook(steps, [50, every]))
        model_fn, input_fn = loop.model_fn(model_fn), loop.input_fn(input_fn)
    bare_estimator(directory, model_fn).train(input_fn, hooks=hooks, max_steps=steps)


def saved(directory):
    """Steps of the checkpoints of a directory, and the variables of the last."""
    state = tf.train.get_checkpoint_state(str(directory))
    steps = [int(p.rpartition('-')[2]) for p in state.all_model_checkpoint_paths]
    return steps, weights(state.model_checkpoint_path)


# -- The same weights, to the bit ------------------------------------------------------

NETWORKS = {
    'everything': (
        300,
        {
            'optimizer': {
                'name': 'nesterov',
                'ema_decay': 0.9,
                'clip_norm': 1.0,
                'weight_decay': 0.01,
                'warmup_steps': 100,
            },
            'gradient_accumulation_steps': 3,
        },
    ),
    'adam, bfloat16': (120, {'compute_dtype': 'bfloat16'}),
    'adam, float16': (120, {'compute_dtype': 'float16'}),
    'adamw, rates': (
        120,
        {
            'optimizer': {
                'name': 'adamw',
                'weight_decay': 0.1,
                'lr_multipliers': (('conv', 0.1),),
                'freeze': ('bias',),
            }
        },
    ),
    'rmsprop, xla': (60, {'optimizer': {'name': 'rmsprop'}, 'xla': True}),
}


@pytest.mark.extended
@pytest.mark.parametrize(
    'name',
    [
        'everything',
        'adam, bfloat16',
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ('adam, float16', 'adamw, rates', 'rmsprop, xla')
        ),
    ],
)
def test_the_weights_are_those_of_one_step_at_a_time(tmp_path, name):
    steps, options = NETWORKS[name]
    settings = {'name': 'adam', 'learning_rate': 0.01, 'schedule': 'cosine'}
    settings.update(options.get('optimizer', {}), total_steps=steps)
    info = source().info
    model_fn = model_fn_of(
        'cnn',
        num_classes=3,
        mean=info.mean,
        stddev=info.stddev,
        network_args=CNN,
        **{**options, 'optimizer': OptimizerSpec(**settings)},
    )
    found = []
    for kind, loop in (('one', None), ('loop', StepLoop())):
        input_fn = source().input_fn(
            'train', 12, training=True, augment='flip, crop(1)'
        )
        train(
            tmp_path / kind,
            steps,
            loop,
            model_fn=model_fn,
            input_fn=input_fn,
        )
        found.append(saved(tmp_path / kind))
    assert loop.runs < steps / 2
    assert found[0] == found[1]
    before = tmp_path / 'one' / f'model.ckpt-{found[0][0][-2]}'
    assert found[0][1] != weights(before)


def small(directory, steps_per_loop, **settings):
    """What a small run leaves, but for what depends on the clock."""
    observer = Recorder()
    run(directory, observer, steps_per_loop=steps_per_loop, network='cnn', **settings)
    keys = directory / 'keys.jsonl'
    return {
        'weights': saved(directory),
        'metrics': timeless(jsonl.read(str(directory / 'metrics.jsonl'))),
        'keys': keys.read_text() if keys.exists() else None,
        'steps': observer.steps,
        'evaluations': observer.evaluations,
        'scalars': {tag for tag, _, _ in scalars(directory)},
    }


@pytest.mark.parametrize(
    'settings',
    [
        {},
        pytest.param(
            {'augment': 'mixup', 'save_every': '4', 'log_every': '1'},
            marks=pytest.mark.slow,
        ),
        # Packs of several batches; runs end in the middle of one.
        pytest.param(
            {'batch_size': 4, 'max_steps': 40, 'eval_every': '7', 'record_keys': False},
            marks=pytest.mark.slow,
        ),
    ],
    ids=['usual', 'mixup', 'packs'],
)
def test_a_run_leaves_what_it_leaves_one_step_at_a_time(tmp_path, settings):
    one = small(tmp_path / 'one', '1', **settings)
    for steps in ('auto', '3'):
        assert small(tmp_path / steps, steps, **settings) == one
    assert 'input_wait' in one['scalars']


@pytest.mark.extended
def test_a_run_that_was_killed_within_a_loop_resumes(tmp_path):
    whole = small(tmp_path / 'whole', '1', save_every='6', log_every='6')
    for steps_per_loop, kill in (('auto', 8), ('4', 11)):
        with pytest.raises(Recorder.Killed):
            run(
                tmp_path / 'killed',
                Recorder(kill_after=kill),
                network='cnn',
                save_every='6',
                log_every='6',
                steps_per_loop=steps_per_loop,
            )
    after = small(tmp_path / 'killed', '5', save_every='6', log_every='6')
    for name in ('weights', 'metrics', 'keys'):
        assert after[name] == whole[name]


# -- What hooks see --------------------------------------------------------------------


def telling_model_fn(features, labels, mode):
    """`line_model_fn` whose metrics, and a summary, are in the graph's collections."""
    spec = line_model_fn(features, labels, mode)
    v1.summary.scalar('inside', spec.loss)
    v1.add_to_collection(TRAIN_METRICS, NamedTensor('loss', spec.loss))
    v1.add_to_collection(TRAIN_METRICS, NamedTensor('first', features['x'][0]))
    return spec


def test_metrics_are_means_over_the_same_steps(tmp_path):
    told = {}
    for kind, loop in (('one', None), ('loop', StepLoop())):
        told[kind] = []
        hook = TrainMetricsHook(
            [7],
            4,
            lambda step, metrics, kind=kind: told[kind].append(
                (step, metrics['loss'], metrics['first'])
            ),
            TRAIN_METRICS,
        )
        train(
            tmp_path / kind,
            60,
            loop,
            model_fn=telling_model_fn,
            hooks=[hook],
            every=7,
        )
    assert told['loop'] == told['one']
    assert [step for step, _, _ in told['one']] == [*range(7, 57, 7), 60]


def test_nothing_of_the_loop_stays_in_the_collections():
    with tf.Graph().as_default() as graph:
        v1.train.get_or_create_global_step()
        loop = StepLoop()
        batches = loop.input_fn(line_input_fn())()
        spec = loop.model_fn(telling_model_fn)(*batches, 'train')
        assert not graph.get_collection(v1.GraphKeys.SUMMARIES)
        assert not graph.get_collection(v1.GraphKeys.LOSSES)
        metrics = dict(graph.get_collection(TRAIN_METRICS))
        assert set(metrics) == {'loss', 'first', 'input_wait'}
        for tensor in (*metrics.values(), spec.loss, loop.taken):
            assert tensor.graph is graph
        names = [v.op.name for v in v1.trainable_variables()]
        assert names == ['w']
        with v1.Session() as session:
            session.run([v1.global_variables_initializer(), v1.tables_initializer()])
            found, taken = session.run([metrics, loop.taken], {loop.count: 3})
        assert taken == 3
        assert found['first'].tolist() == [0.0, 4.0, 8.0]


def test_images_are_those_of_the_last_step_and_keys_those_of_all():
    images = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones(
        (1, 2, 2, 1), np.uint8
    )

    def input_fn():
        keys = [f'k{n}' for n in range(10)]
        features = {'image': images, 'key': keys, 'x': np.arange(10, dtype=np.float32)}
        data = tf.data.Dataset.from_tensor_slices((features, np.zeros(10, np.float32)))
        return data.batch(4)  # The last batch is short.

    with tf.Graph().as_default() as graph:
        v1.train.get_or_create_global_step()
        loop = StepLoop(keys=True)
        batches = loop.input_fn(input_fn)()
        loop.model_fn(line_model_fn)(*batches, 'train')
        (last,), (keys,) = (
            graph.get_collection(name) for name in (EXAMPLE_IMAGES, EXAMPLE_KEYS)
        )
        with v1.Session() as session:
            session.run([v1.global_variables_initializer(), v1.tables_initializer()])
            for count, rows, first in (
                (2, [[0, 1, 2, 3], [4, 5, 6, 7]], 4),
                (1, [[8, 9]], 8),
            ):
                found, pixels = session.run([keys, last], {loop.count: count})
                assert found.to_list() == [[b'k%d' % n for n in row] for row in rows]
                assert pixels[:, 0, 0, 0].tolist() == rows[-1]
                assert pixels[0, 0, 0, 0] == first


def test_keys_without_a_hook_for_them_cost_nothing(tmp_path):
    data = source()
    loop = StepLoop()
    seen = []

    class ImageReport(v1.train.SessionRunHook):
        def begin(self):
            seen.extend(v1.get_collection(EXAMPLE_KEYS))

    model_fn = make_model_fn(ModelSpec('linear', num_classes=3))
    input_fn = data.input_fn('train', 5, training=True)
    train(
        tmp_path, 5, loop, model_fn=model_fn, input_fn=input_fn, hooks=[ImageReport()]
    )
    assert not seen


def test_the_keys_of_the_steps(tmp_path):
    loop = StepLoop(keys=True)
    input_fn = source().input_fn('train', 5, training=True)
    model_fn = make_model_fn(ModelSpec('linear', num_classes=3))
    hook = ExampleKeysHook(str(tmp_path), EXAMPLE_KEYS)
    train(tmp_path, 60, loop, model_fn=model_fn, input_fn=input_fn, hooks=[hook])
    lines = jsonl.read(str(tmp_path / 'keys.jsonl'))
    iterator = source().input_fn('train', 5, training=True)().as_numpy_iterator()
    for step, line in enumerate(lines, 1):
        features, _ = next(iterator)
        assert line == {'step': step, 'keys': [k.decode() for k in features['key']]}
    assert len(lines) == 60 and loop.runs < 10


def test_the_loop_must_be_the_first_to_be_told(tmp_path):
    loop = StepLoop()
    model = bare_estimator(tmp_path, loop.model_fn(line_model_fn))
    hooks = [CheckpointHook(str(tmp_path), [50]), loop.hook(20)]
    with pytest.raises(RuntimeError, match='before all other hooks'):
        model.train(loop.input_fn(line_input_fn()), hooks=hooks, max_steps=20)


# -- Where a loop ends -----------------------------------------------------------------


class Ends(v1.train.SessionRunHook):
    """Notes the step that each run has come to."""

    def __init__(self, loop):
        self._loop = loop
        self.steps = []

    def after_run(self, run_context, run_values):
        self.steps.append(self._loop.step)


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        ({}, [23]),
        ({'every': [10.0, 0]}, [10, 20, 23]),
        ({'every': [7.5, 10]}, [8, 10, 15, 20, 23]),
        ({'most': 9}, [9, 18, 23]),
        ({'alone': lambda step: step in (1, 5)}, [1, 4, 5, 23]),
    ],
)
def test_a_loop_ends_where_something_is_to_happen(tmp_path, options, expected):
    loop = StepLoop(seconds=1000.0)
    ends = Ends(loop)
    bare_estimator(tmp_path, loop.model_fn(line_model_fn)).train(
        loop.input_fn(line_input_fn()),
        hooks=[loop.hook(23, **options), ends],
        max_steps=23,
    )
    assert ends.steps == expected


def slow_input_fn(seconds):
    def input_fn():
        def wait(*element):
            time.sleep(seconds)
            return np.int64(0)

        def slowly(features, labels):
            zero = tf.numpy_function(wait, [labels], tf.int64)
            with tf.control_dependencies([zero]):
                return tf.nest.map_structure(tf.identity, features), labels

        return line_input_fn()().map(slowly)

    return input_fn


def test_a_signal_does_not_wait_for_the_end_of_a_long_loop(tmp_path):
    class Kill(v1.train.SessionRunHook):
        def after_create_session(self, session, coord):
            threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM)).start()

    loop = StepLoop(seconds=0.3)
    begin = time.monotonic()
    with on_signals() as stop:
        ends = Ends(loop)
        hooks = [Kill(), ends, StopHook(stop)]
        train(tmp_path, 5000, loop, input_fn=slow_input_fn(0.02), hooks=hooks)
    assert time.monotonic() - begin < 60.0  # 5,000 steps take 100 s.
    assert stop.requested == 'SIGTERM'
    assert 1 < len(ends.steps) and 1 < ends.steps[0] < 50
    assert saved(tmp_path)[0][-1] == loop.step == ends.steps[-1] < 5000


def test_waiting_for_input_is_measured(tmp_path):
    told = []
    hook = TrainMetricsHook(
        [20], 4, lambda step, m: told.append(m['input_wait']), TRAIN_METRICS
    )
    input_fn = slow_input_fn(0.02)
    train(
        tmp_path,
        40,
        StepLoop(),
        input_fn=input_fn,
        model_fn=telling_model_fn,
        hooks=[hook],
    )
    assert 0.5 < told[-1] <= 1.0


@pytest.mark.parametrize('threads', [1, 2])
def test_work_is_not_taken_for_waiting_whatever_the_threads(threads):
    def work(x):
        time.sleep(0.02)
        return x

    def model_fn(features, labels, mode):
        parts = [tf.numpy_function(work, [features['x']], tf.float32) for _ in range(8)]
        loss = tf.add_n([tf.reduce_sum(tf.ensure_shape(x, [4])) for x in parts])
        train_op = v1.assign_add(v1.train.get_global_step(), 1)
        return estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

    def input_fn():
        return tf.data.Dataset.from_tensors(({'x': tf.ones([4])}, 0)).repeat()

    with tf.Graph().as_default() as graph:
        v1.train.get_or_create_global_step()
        loop = StepLoop()
        loop.model_fn(model_fn)(*loop.input_fn(input_fn)(), 'train')
        wait = dict(graph.get_collection(TRAIN_METRICS))['input_wait']
        config = v1.ConfigProto(
            inter_op_parallelism_threads=threads, use_per_session_threads=True
        )
        with v1.Session(config=config) as session:
            session.run([v1.global_variables_initializer(), v1.tables_initializer()])
            waits = [session.run(wait)[0] for _ in range(5)]
    assert min(waits) < 0.04  # The work of a step takes 0.08 s and more.


def test_an_input_that_ends_within_a_loop(tmp_path):
    loop = StepLoop()
    train(tmp_path, 100, loop, input_fn=line_input_fn(repeat=False))
    assert loop.step == 3
    assert saved(tmp_path)[0] == [0, 3]


# -- A loss that is not finite ---------------------------------------------------------


def diverging_model_fn(features, labels, mode):
    w = v1.get_variable('w', [], initializer=v1.ones_initializer())
    loss = w**2
    v1.add_to_collection(TRAIN_METRICS, NamedTensor('loss', loss))
    optimizer = v1.train.GradientDescentOptimizer(3.0)
    train_op = optimizer.minimize(loss, v1.train.get_global_step())
    return estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)


def test_the_step_of_a_loss_that_is_not_finite(tmp_path):
    steps = []
    for kind, loop in (('one', None), ('loop', StepLoop())):
        with pytest.raises(NonFiniteError) as caught:
            hooks = [NanGuardHook(TRAIN_METRICS)]
            train(tmp_path / kind, 200, loop, model_fn=diverging_model_fn, hooks=hooks)
        steps.append(caught.value.step)
    assert steps[0] == steps[1] > 20
    assert saved(tmp_path / 'loop') == saved(tmp_path / 'one')


@pytest.mark.extended
def test_a_run_names_the_step_and_goes_back(tmp_path):
    told = []
    for steps_per_loop in ('1', 'auto'):
        observer = Recorder()
        with pytest.raises(RunError) as caught:
            run(
                tmp_path / steps_per_loop,
                observer,
                steps_per_loop=steps_per_loop,
                learning_rate=1e38,
                max_rollbacks=1,
            )
        told.append((str(caught.value), observer.messages))
    assert told[0] == told[1] and 'at step' in told[0][0]


# -- The input, the setting ------------------------------------------------------------


def test_packs_hold_the_batches_of_the_steps():
    data = from_arrays({'train': make_images(23)}, ('a', 'b', 'c'), name='small')
    options = {'training': True, 'augment': 'flip, crop(2)', 'start_step': 2}
    one = data.input_fn('train', 4, **options)().as_numpy_iterator()
    packed = data.input_fn('train', 4, pack=3, **options)()
    assert packed.element_spec[0]['image'].shape == [3, 4, 8, 8, 1]
    for pack, _ in zip(packed.as_numpy_iterator(), range(5), strict=False):
        for place in range(3):
            expected = next(one)
            found = tf.nest.map_structure(lambda x, place=place: x[place], pack)
            tf.nest.map_structure(np.testing.assert_array_equal, found, expected)


def test_packs_of_numbers():
    x = np.arange(23, dtype=np.float32)
    data = from_values({'train': (x, 2 * x)})
    one = data.input_fn('train', 4, training=True)().as_numpy_iterator()
    features, y = next(
        data.input_fn('train', 4, training=True, pack=2)().as_numpy_iterator()
    )
    for place in range(2):
        expected = next(one)
        assert features['x'][place].tolist() == expected[0]['x'].tolist()
        assert y[place].tolist() == expected[1].tolist()


def test_how_large_a_pack_may_be():
    data = from_arrays({'train': make_images(23)}, ('a', 'b', 'c'), name='small')
    assert data.steps_per_pack('train', 4) == 5  # Of 23 examples, not 8 steps.
    assert data.steps_per_pack('train', 1) == 8
    assert data.steps_per_pack('train', 4, 'flip,mixup') == 1
    with pytest.raises(ValueError, match='`pack` must be from 1 to 5'):
        data.input_fn('train', 4, training=True, pack=6)


def test_the_setting():
    for good in ('auto', '1', '100'):
        assert make_config(steps_per_loop=good).hardware.steps_per_loop == good
    for bad in ('0', '-1', 'many', '1.5', ''):
        with pytest.raises(ConfigError, match='`steps_per_loop` must be'):
            make_config(steps_per_loop=bad)


def test_on_several_devices_there_is_no_loop_and_a_request_is_answered():
    told = []
    plan = StepPlan(0, 10, 5.0, 1.0, 5.0, 0.0, None)

    def loop_of(config, replicas):
        return make_step_loop(config, plan, [], replicas, 1, told.append)

    for asked, replicas, expected in (
        ('auto', 1, True),
        ('7', 1, True),
        ('1', 1, False),
        ('auto', 2, False),
        ('1', 2, False),
    ):
        found = loop_of(make_config(steps_per_loop=asked), replicas)
        assert (found is not None) is expected
    assert not told
    assert loop_of(make_config(steps_per_loop='7'), 2) is None
    (message,) = told
    assert message.startswith('`steps_per_loop=7`: on 2 devices every step is')
