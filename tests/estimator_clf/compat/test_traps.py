"""Traps of stock Estimator, and the same tasks with the parts of this project.

Each test of stock Estimator pins its actual behavior, on purpose: if one fails, the
trap is gone, and docs/traps.md must be updated.
"""

import ast
import glob
import json
import logging
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import sys

from estimator_clf.compat import estimator

import pytest
import tensorflow as tf

from estimator_clf.checkpoints.best import (
    BestCheckpoints,
    best_checkpoint,
    copy_checkpoint,
)
from estimator_clf.config.early_stopping import EarlyStopping
from estimator_clf.config.metric_goal import MetricGoal
from estimator_clf.core import graph_collections, signals
from estimator_clf.evaluation.evaluator import Evaluator
from estimator_clf.hooks.example_keys import ExampleKeysHook
from estimator_clf.training.instrument import instrument
from estimator_clf.training.run_directory import latest_step
from tests.helpers.images import encode, image
from tests.helpers.launching import ROOT
from tests.helpers.scripted import (
    LOSSES,
    here,
    input_fn,
    model_fn_of,
    once,
    receiver,
    stock,
)
from tests.helpers.small_run import bare_estimator, linear_model_fn, scalars, source

v1 = tf.compat.v1

BEST_STEP = LOSSES.index(min(LOSSES))


def weight(prefix):
    """Returns the training step of a checkpoint or an export."""
    return int(tf.train.load_variable(str(prefix), 'w'))


# -- Best and latest -------------------------------------------------------------------


def exported(directory):
    """Returns the training steps of the exports in a directory."""
    paths = glob.glob(os.path.join(directory, '*', 'variables', 'variables.index'))
    return sorted(weight(path.removesuffix('.index')) for path in paths)


def test_stock_best_exporter_deletes_the_better_export_after_a_restart(tmp_path):
    for until in (2, 4):
        best = estimator.BestExporter('best', receiver, exports_to_keep=1)
        stock(tmp_path, until, exporters=best, save_checkpoints_steps=2)
        if until == 2:
            assert exported(tmp_path / 'export' / 'best') == [BEST_STEP]
    assert exported(tmp_path / 'export' / 'best') == [4]
    assert LOSSES[4] > LOSSES[BEST_STEP]


def test_best_export_survives_a_restart_here(tmp_path):
    def export(classifier, checkpoint, directory):
        path = classifier.export_saved_model(
            directory, receiver, None, False, checkpoint
        )
        return path.decode()

    for until in (2, 4):
        best_of_run = None

        def after(classifier, path, step, metrics):
            nonlocal best_of_run
            best_of_run = best_of_run or BestCheckpoints(
                str(tmp_path / 'exports'),
                MetricGoal('loss'),
                1,
                lambda path, step, directory: export(classifier, path, directory),
                records_only=True,
            )
            best_of_run.maybe_save(path, step, metrics)

        here(tmp_path, until, after, every=2)
        assert exported(tmp_path / 'exports') == [BEST_STEP]


def test_stock_rotates_the_best_checkpoint_away(tmp_path):
    stock(tmp_path, 4, keep_checkpoint_max=2)
    left = glob.glob(str(tmp_path / 'model.ckpt-*.index'))
    assert sorted(weight(path.removesuffix('.index')) for path in left) == [3, 4]


def test_best_checkpoint_stays_here(tmp_path):
    best_of_run = BestCheckpoints(
        str(tmp_path / 'best'), MetricGoal('loss'), 1, copy_checkpoint
    )
    here(
        tmp_path,
        4,
        lambda _, *result: best_of_run.maybe_save(*result),
        keep_checkpoint_max=2,
    )
    left = glob.glob(str(tmp_path / 'model.ckpt-*.index'))
    assert sorted(weight(path.removesuffix('.index')) for path in left) == [3, 4]
    assert weight(best_checkpoint(str(tmp_path))) == BEST_STEP


# -- Early stopping --------------------------------------------------------------------


def stock_stopping(metric, **options):
    """Returns a maker of hooks for `stock`: stop 3 steps after the best one."""
    return lambda classifier: [
        estimator.experimental.stop_if_no_increase_hook(
            classifier, metric, 3, **options
        )
    ]


def test_stock_early_stopping_fails_in_mid_run_for_a_misspelled_metric(tmp_path):
    each_step = {'run_every_secs': None, 'run_every_steps': 1}
    stock(tmp_path / 'right', 8, stock_stopping('accuracy', **each_step))
    # It reads the event files, which may show an evaluation a step late.
    assert BEST_STEP + 3 <= latest_step(str(tmp_path / 'right')) < 8
    with pytest.raises(KeyError) as caught:
        stock(tmp_path / 'wrong', 8, stock_stopping('acuracy', **each_step))
    assert caught.value.args == ('acuracy',)  # Neither valid names nor an explanation.
    assert latest_step(str(tmp_path / 'wrong')) >= 1


def test_stock_early_stopping_treats_any_strategy_as_several_workers(tmp_path):
    with pytest.raises(ValueError, match='when using MultiWorkerMirroredStrategy'):
        stock(
            tmp_path,
            8,
            stock_stopping('accuracy'),
            train_distribute=tf.distribute.MirroredStrategy(['/cpu:0']),
        )


def test_early_stopping_works_under_a_strategy_here(tmp_path):
    stop, early = signals.Stop(), EarlyStopping(MetricGoal('accuracy'), 3)

    def after(classifier, path, step, metrics):
        if early.update(step, metrics):
            stop.requested = early.why()

    here(
        tmp_path,
        8,
        after,
        [signals.StopHook(stop)],
        train_distribute=tf.distribute.MirroredStrategy(['/cpu:0']),
    )
    assert latest_step(str(tmp_path)) == BEST_STEP + 3
    assert 'accuracy has not become better than 0.9000 since step 2' in stop.requested


# -- Input and evaluation --------------------------------------------------------------


def trained_keys(model_dir, make_input_fn):
    """Returns the keys of the examples of 6 steps, interrupted after 3."""
    model_fn = linear_model_fn(source().info)
    for until in (3, 6):
        model = bare_estimator(model_dir, instrument(model_fn))
        saver = estimator.CheckpointSaverHook(str(model_dir), save_steps=100)
        hook = ExampleKeysHook(str(model_dir), graph_collections.EXAMPLE_KEYS)
        model.train(make_input_fn(), hooks=[saver, hook], max_steps=until)
    lines = (model_dir / 'keys.jsonl').read_text().splitlines()
    return [tuple(json.loads(line)['keys']) for line in lines]


def test_stock_input_restarts_when_a_run_resumes(tmp_path):
    batches = source().input_fn('train', 9, training=True)
    keys = trained_keys(tmp_path, lambda: batches)
    assert keys[3:] == keys[:3]


def test_input_resumes_here(tmp_path):
    uninterrupted = source().input_fn('train', 9, training=True)()
    expected = [
        tuple(key.decode() for key in features['key'].numpy())
        for features, _ in uninterrupted.take(6)
    ]
    keys = trained_keys(
        tmp_path,
        lambda: source().input_fn(
            'train',
            9,
            training=True,
            start_step=lambda: latest_step(str(tmp_path)),
        ),
    )
    assert keys == expected and len(set(keys)) == 6


def test_stock_skips_evaluations(tmp_path):
    """By default at most one in ten minutes, regardless of checkpoints."""
    stock(tmp_path, 8, throttle_secs=None)
    evaluated = {step for tag, step, _ in scalars(tmp_path / 'eval') if tag == 'loss'}
    assert evaluated == {1, 8}


def test_no_evaluation_is_skipped_here(tmp_path):
    assert [step for step, _ in here(tmp_path, 8)] == list(range(1, 9))


def test_stock_does_not_name_the_corrupt_jpeg(tmp_path):
    good = encode(image(), 'JPEG')
    names = ['good.jpg', 'truncated.jpg']
    (tmp_path / names[0]).write_bytes(good)
    (tmp_path / names[1]).write_bytes(good[: len(good) // 2])

    def batches():
        paths = [str(tmp_path / name) for name in names]
        data = tf.data.Dataset.from_tensor_slices(paths).repeat()
        data = data.map(lambda path: tf.io.decode_jpeg(tf.io.read_file(path)))
        return data.map(lambda x: {'x': tf.reshape(tf.cast(x, tf.float32), [-1])})

    model = bare_estimator(tmp_path / 'model', model_fn_of())
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        model.train(batches, max_steps=4)
    assert 'JPEG' in str(caught.value)
    assert 'truncated' not in str(caught.value)


def test_stock_rebuilds_the_graph_for_each_evaluation(tmp_path):
    """Here it is built once, so that nothing accumulates."""
    built = []

    def counting(features, labels, mode):
        built.append(mode)
        return model_fn_of()(features, labels, mode)

    model = estimator.Estimator(counting, str(tmp_path))
    model.train(input_fn, max_steps=1)
    built.clear()
    for _ in range(4):
        model.evaluate(once)
    assert len(built) == 4
    built.clear()
    evaluator = Evaluator(counting, once)
    for _ in range(4):
        evaluator.evaluate(model.latest_checkpoint())
    evaluator.close()
    assert len(built) == 1


# -- Curves, weights, settings ---------------------------------------------------------


def test_stock_tags_of_training_and_evaluation_differ(tmp_path):
    def model_fn(features, labels, mode):
        w = v1.get_variable('w', [], initializer=v1.ones_initializer())
        loss = tf.reduce_mean(w * features['x'] + w, name='loss')
        accuracy = v1.metrics.mean(w, name='accuracy')
        v1.summary.scalar('accuracy', accuracy[1])
        step = v1.train.get_global_step()
        return estimator.EstimatorSpec(
            mode,
            loss=loss,
            train_op=v1.train.GradientDescentOptimizer(0.1).minimize(loss, step),
            eval_metric_ops={'accuracy': accuracy},
        )

    model = estimator.Estimator(model_fn, str(tmp_path))
    model.train(input_fn, max_steps=2)
    model.evaluate(once)
    trained = {tag for tag, _, _ in scalars(tmp_path)}
    evaluated = {tag for tag, _, _ in scalars(tmp_path / 'eval')}
    assert {'loss_1', 'accuracy_1'} <= trained
    assert {'loss', 'accuracy'} <= evaluated
    assert not {'loss', 'accuracy'} & trained


def test_stock_runs_no_update_ops(tmp_path):
    def model_fn(features, labels, mode):
        pixels = tf.reshape(tf.range(8.0), [2, 2, 2, 1]) + features['x']
        gamma = v1.get_variable('gamma', [1], initializer=v1.ones_initializer())
        moving = v1.get_variable(
            'moving_mean', [1], trainable=False, initializer=v1.zeros_initializer()
        )
        y, mean, _ = v1.nn.fused_batch_norm(pixels, gamma, tf.zeros([1]))
        update = moving.assign(0.9 * moving + 0.1 * mean)
        v1.add_to_collection(v1.GraphKeys.UPDATE_OPS, update)
        loss = tf.reduce_mean(y**2)
        step = v1.train.get_global_step()
        train_op = v1.train.GradientDescentOptimizer(0.1).minimize(loss, step)
        return estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

    model = estimator.Estimator(model_fn, str(tmp_path))
    model.train(input_fn, max_steps=3)
    assert model.get_variable_value('gamma') != 1.0  # It did train.
    assert model.get_variable_value('moving_mean') == 0.0


# Without the hook that counts steps a second, whose warnings depend on the machine.
QUIET = estimator.RunConfig(log_step_count_steps=None)


def warned(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def test_stock_warm_start_restores_nothing_silently(tmp_path, caplog):
    old = estimator.Estimator(model_fn_of(), str(tmp_path / 'old'))
    old.train(input_fn, max_steps=5)
    # The second seems right, but is matched against `w:0`.
    for number, (pattern, expected) in enumerate((('weights', 1), ('w$', 1), ('w', 6))):
        model = estimator.Estimator(
            model_fn_of(),
            str(tmp_path / str(number)),
            QUIET,
            warm_start_from=estimator.WarmStartSettings(old.model_dir, pattern),
        )
        caplog.clear()
        model.train(input_fn, max_steps=1)
        assert model.get_variable_value('w') == expected
        assert not warned(caplog)


def test_stock_continues_in_a_directory_of_other_settings(tmp_path, caplog):
    def model_fn(features, labels, mode, params):
        w = v1.get_variable('w', [], initializer=v1.ones_initializer())
        optimizer = v1.train.GradientDescentOptimizer(params['learning_rate'])
        loss = w + tf.reduce_sum(features['x'])
        train_op = optimizer.minimize(loss, v1.train.get_global_step())
        return estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

    for until, rate in ((2, 0.5), (4, 100.0)):
        params = {'learning_rate': rate}
        model = estimator.Estimator(model_fn, str(tmp_path), QUIET, params)
        caplog.clear()
        model.train(input_fn, max_steps=until)
    assert model.get_variable_value('w') == 1 - 2 * 0.5 - 2 * 100
    assert not warned(caplog)


# -- Processes -------------------------------------------------------------------------


@pytest.fixture
def start(tmp_path):
    """Function (directory, TF_CONFIG) -> a process of stock Estimator, training."""
    processes = []

    def start_process(name, tf_config='{}'):
        process = subprocess.Popen(
            [
                sys.executable,
                'tests/helpers/scripts/stock_task.py',
                str(tmp_path / name),
            ],
            cwd=ROOT,
            env={**os.environ, 'PYTHONPATH': ROOT, 'TF_CONFIG': tf_config},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        processes.append(process)
        return process

    yield start_process
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.extended
def test_stock_processes_lose_work_and_wait_forever(tmp_path, start):
    """SIGTERM: nothing saved. A missing parameter server: no error, no step.

    Both in one test, to start the two processes at the same time.
    """
    with socket.create_server(('127.0.0.1', 0)) as free:
        address = f'127.0.0.1:{free.getsockname()[1]}'
    cluster = {'chief': [address], 'ps': ['127.0.0.1:1']}
    task = {'type': 'chief', 'index': 0}
    lonely = start('lonely', json.dumps({'cluster': cluster, 'task': task}))
    working = start('working')

    while working.stdout.readline() != '30\n':
        assert working.poll() is None
    working.send_signal(signal.SIGTERM)
    assert working.wait(60) == -signal.SIGTERM
    assert latest_step(str(tmp_path / 'working')) == 0

    assert lonely.stdout.readline() == 'begin\n'
    # Neither a step nor the end, while the other process took 30 steps.
    assert not select.select([lonely.stdout], [], [], 4)[0]


# -- The table -------------------------------------------------------------------------


def test_every_test_that_the_table_names_exists():
    text = pathlib.Path(ROOT, 'docs', 'traps.md').read_text(encoding='utf-8')
    table = text.partition('\n## ')[0]
    rows = [line for line in table.splitlines() if line.startswith('|')]
    named = re.findall(r'`(\w[\w/]*/test_\w+\.py)::(test_\w+)`', text)
    assert len(named) > 20 and len(rows) == 14 + 2
    for module, test in named:
        path = pathlib.Path(ROOT, 'tests', module)
        tree = ast.parse(path.read_text(encoding='utf-8'))
        tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert test in tests, f'{module}::{test}'
