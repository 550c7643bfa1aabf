"""Tests of repeated evaluation: exact metrics, constant graph and memory."""

import gc

from estimator_clf.compat import estimator

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.evaluation.evaluator import Evaluator
from tests.helpers.small_run import (
    bare_estimator,
    line_input_fn,
    line_model_fn,
    linear_model_fn,
    source,
)

v1 = tf.compat.v1


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """(model_fn, source, bare Estimator) with checkpoints of steps 2 and 4."""
    directory = tmp_path_factory.mktemp('trained')
    data = source(train=45, test=20)
    model_fn = linear_model_fn(data.info)
    config = estimator.RunConfig(save_checkpoints_steps=2, tf_random_seed=1)
    model = estimator.Estimator(model_fn, str(directory), config)
    model.train(data.input_fn('train', 9, training=True), max_steps=4)
    return model_fn, data, model


def checkpoint_of(model, step):
    return f'{model.model_dir}/model.ckpt-{step}'


def test_metrics_match_estimator(trained):
    model_fn, data, model = trained
    evaluator = Evaluator(model_fn, data.input_fn('test', 8))
    for step in (4, 2, 4):  # Later checkpoints before earlier ones too.
        path = checkpoint_of(model, step)
        stock = model.evaluate(data.input_fn('test', 8), checkpoint_path=path)
        assert stock.pop('global_step') == step
        metrics = evaluator.evaluate(path)
        # Estimator's loss weights the short last batch as much as the others.
        stock['loss'] = stock.pop('average_loss')
        assert metrics.pop('examples') == 20
        assert set(metrics) == set(stock)
        assert metrics == pytest.approx(
            {k: float(v) for k, v in stock.items()}, rel=1e-6
        )
        counts = {n for n, value in metrics.items() if type(value) is int}
        assert all(type(metrics[n]) is float for n in metrics.keys() - counts)
        assert counts == {n for n in metrics if n.startswith('examples/')}
        assert sum(metrics[name] for name in counts) == 20
    # A count is not a metric to select by.
    names = evaluator.metric_names()
    assert 'accuracy' in names and not any('examples' in name for name in names)
    evaluator.close()


def test_loss_is_the_mean_over_the_examples(trained):
    model_fn, data, model = trained
    path = checkpoint_of(model, 4)
    truth = {key: label for key, _, label in data.encoded('test')}
    losses = []
    for prediction in model.predict(data.input_fn('test', 20), checkpoint_path=path):
        logits = prediction['logits'].astype(np.float64)
        true = truth.pop(prediction['key'].decode())
        losses.append(np.log(np.exp(logits - logits[true]).sum()))
    assert not truth
    # 20 = 8 + 8 + 4 = 19 + 1.
    for batch in (8, 19, 64):
        evaluator = Evaluator(model_fn, data.input_fn('test', batch))
        assert evaluator.evaluate(path)['loss'] == pytest.approx(np.mean(losses), 1e-5)
        evaluator.close()


def test_loss_of_a_bare_program_weights_batches_by_their_size(tmp_path):
    model = bare_estimator(tmp_path)
    saver = estimator.CheckpointSaverHook(str(tmp_path), save_steps=100)
    model.train(line_input_fn(), max_steps=1, hooks=[saver])
    path = tf.train.latest_checkpoint(str(tmp_path))
    w = tf.train.load_variable(path, 'w')
    evaluator = Evaluator(line_model_fn, line_input_fn(10, 4, repeat=False))
    metrics = evaluator.evaluate(path)
    x = np.arange(10)
    assert metrics['loss'] == pytest.approx(np.mean((w * x - 2 * x) ** 2), rel=1e-5)
    assert metrics['error'] == pytest.approx(np.mean(np.abs(w * x - 2 * x)), rel=1e-5)
    evaluator.close()


def test_input_may_use_a_lookup_table(tmp_path):
    def input_fn():
        table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(['one', 'two'], [1.0, 2.0]), 0.0
        )
        data = tf.data.Dataset.from_tensor_slices([['one', 'two'], ['two', 'two']])
        return data.map(lambda n: ({'x': table.lookup(n)}, table.lookup(n)))

    saver = estimator.CheckpointSaverHook(str(tmp_path), save_steps=100)
    bare_estimator(tmp_path).train(line_input_fn(), max_steps=1, hooks=[saver])
    evaluator = Evaluator(line_model_fn, input_fn)
    path = tf.train.latest_checkpoint(str(tmp_path))
    first = evaluator.evaluate(path)
    assert first['error'] > 0
    assert evaluator.evaluate(path) == first
    evaluator.close()


def resident_kilobytes():
    gc.collect()
    with open('/proc/self/status') as file:
        (line,) = (x for x in file if x.startswith('VmRSS:'))
    return int(line.split()[1])


@pytest.mark.extended
def test_twenty_evaluations_grow_neither_graph_nor_memory(trained):
    model_fn, data, model = trained
    built = []

    def counting_model_fn(features, labels, mode):
        built.append(tf.compat.v1.get_default_graph())
        return model_fn(features, labels, mode)

    evaluator = Evaluator(counting_model_fn, data.input_fn('test', 8))
    results, ops, memory = [], [], []
    for number in range(20):
        results.append(evaluator.evaluate(checkpoint_of(model, 2 + 2 * (number % 2))))
        ops.append(len(built[0].get_operations()))
        memory.append(resident_kilobytes())
    evaluator.close()
    assert len(built) == 1
    assert len(set(ops)) == 1
    assert results[0] == results[18] and results[1] == results[19]
    assert memory[-1] < memory[4] * 1.03


def test_evaluates_after_an_error_and_after_close(trained):
    model_fn, data, model = trained
    evaluator = Evaluator(model_fn, data.input_fn('test', 8))
    path = checkpoint_of(model, 4)
    before = evaluator.evaluate(path)
    with pytest.raises(ValueError, match='not a valid checkpoint'):
        evaluator.evaluate(checkpoint_of(model, 99))
    assert evaluator.evaluate(path) == before
    evaluator.close()
    evaluator.close()
    assert evaluator.evaluate(path) == before
    evaluator.close()


def test_failed_evaluation_does_not_affect_the_next(trained):
    model_fn, data, model = trained
    path = checkpoint_of(model, 4)
    corrupt = [True]

    def input_fn():
        def check(features, labels):
            fails = tf.numpy_function(lambda: corrupt[0], [], tf.bool)
            with tf.control_dependencies([tf.debugging.Assert(~fails, ['corrupt'])]):
                return features, tf.identity(labels)

        valid = data.input_fn('test', 8)()
        return valid.take(1).concatenate(valid.skip(1).map(check))

    evaluator = Evaluator(model_fn, input_fn)
    with pytest.raises(tf.errors.InvalidArgumentError):
        evaluator.evaluate(path)
    corrupt[0] = False
    whole = Evaluator(model_fn, data.input_fn('test', 8))
    assert evaluator.evaluate(path) == whole.evaluate(path)
    evaluator.close()
    whole.close()


def test_default_graph_is_not_changed(trained):
    model_fn, data, model = trained
    evaluator = Evaluator(model_fn, data.input_fn('test', 8))
    with tf.Graph().as_default() as graph:
        in_graph = evaluator.evaluate(checkpoint_of(model, 4))
        assert not graph.get_operations()
    # It also works without a default graph.
    assert tf.executing_eagerly()
    assert evaluator.evaluate(checkpoint_of(model, 4)) == in_graph
    evaluator.close()


def test_input_without_labels(trained):
    """As for an autoencoder."""
    model_fn, data, model = trained

    def unlabeled():
        return data.input_fn('test', 8)().map(lambda features, _: features)

    def custom_model_fn(features, labels, mode):
        assert labels is None
        return model_fn(
            features, tf.zeros([tf.shape(features['image'])[0]], 'int64'), mode
        )

    path = checkpoint_of(model, 4)
    evaluator = Evaluator(custom_model_fn, unlabeled)
    metrics = evaluator.evaluate(path)
    stock = bare_estimator(model.model_dir, custom_model_fn).evaluate(
        unlabeled, checkpoint_path=path
    )
    assert metrics['accuracy'] == pytest.approx(float(stock['accuracy']))
    evaluator.close()


def test_weights_are_restored_by_the_saver_of_the_scaffold(tmp_path):
    """With moving averages that evaluation restores into the weights."""

    def model_fn(features, labels, mode):
        w = v1.get_variable('w', [], initializer=v1.zeros_initializer())
        loss = tf.reduce_mean((w * features['x'] - labels) ** 2)
        averages = tf.train.ExponentialMovingAverage(0.9)
        if mode == estimator.ModeKeys.TRAIN:
            step = v1.train.get_or_create_global_step()
            train = v1.train.GradientDescentOptimizer(0.01).minimize(loss, step)
            with tf.control_dependencies([train]):
                train = averages.apply([w])
            return estimator.EstimatorSpec(mode, loss=loss, train_op=train)
        saver = v1.train.Saver(averages.variables_to_restore([w]))
        scores = tf.nn.sigmoid(features['x'] - 4.5)
        metrics = {
            'w': v1.metrics.mean(w),
            'precisions': v1.metrics.precision_at_thresholds(
                features['x'] > 4.5, scores, [0.1, 0.9]
            ),
        }
        return estimator.EstimatorSpec(
            mode,
            loss=loss,
            eval_metric_ops=metrics,
            scaffold=v1.train.Scaffold(saver=saver),
        )

    trained = estimator.Estimator(model_fn, str(tmp_path))
    trained.train(line_input_fn(), max_steps=5)
    checkpoint = trained.latest_checkpoint()
    average = tf.train.load_variable(checkpoint, 'w/ExponentialMovingAverage')
    assert average != tf.train.load_variable(checkpoint, 'w')
    evaluator = Evaluator(model_fn, line_input_fn(repeat=False))
    found = evaluator.evaluate(checkpoint)
    evaluator.close()
    assert found['w'] == pytest.approx(average)
    expected = trained.evaluate(line_input_fn(repeat=False))
    np.testing.assert_array_equal(found['precisions'], expected['precisions'])
