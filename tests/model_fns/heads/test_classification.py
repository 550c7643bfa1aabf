"""Classification head: losses against NumPy, metrics, predictions, errors."""

import logging

from estimator_clf.compat import estimator

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.core import graph_collections
from estimator_clf.core.errors import SettingError
from model_fns import HeadSpec, OptimizerSpec
from model_fns.heads.classification import classification
from model_fns.heads.losses import classification_loss

v1 = tf.compat.v1
ModeKeys = estimator.ModeKeys

RNG = np.random.default_rng(0)
CLASSES = 6
LOGITS = RNG.normal(size=(8, CLASSES)).astype(np.float32)
LABELS = RNG.integers(0, CLASSES, 8).astype(np.int32)
MIXED = RNG.dirichlet(np.ones(CLASSES), 8).astype(np.float32)
WEIGHTS = [1.0, 0.0, 2.0, 0.5, 3.0, 1.0]
NAMES = ['ant', 'bee', 'cat', 'dog', 'eel', 'fox']
LOG_P = LOGITS - np.log(np.exp(LOGITS).sum(1, keepdims=True))


def classify(mode, labels=LABELS, logits=LOGITS, features=None, **kwargs):
    """Makes a spec whose logits have a variable, in the default graph."""
    shift = v1.get_variable('shift', (), initializer=v1.zeros_initializer())
    names = ('num_classes', 'class_names', 'optimizer')
    others = {name: kwargs.pop(name) for name in names if name in kwargs}
    others = {'num_classes': CLASSES, 'optimizer': OptimizerSpec(), **others}
    return classification(
        mode,
        features or {},
        tf.constant(logits) + shift,
        labels,
        head=HeadSpec(**kwargs),
        **others,
    )


def loss_of(mode, labels=LABELS, **kwargs):
    with tf.Graph().as_default(), v1.Session() as session:
        spec = classify(mode, labels, **kwargs)
        session.run(v1.global_variables_initializer())
        return session.run(spec.loss)


def evaluate(spec):
    with v1.Session() as session:
        session.run(
            [v1.global_variables_initializer(), v1.local_variables_initializer()]
        )
        session.run([update for _, update in spec.eval_metric_ops.values()])
        return session.run({k: value for k, (value, _) in spec.eval_metric_ops.items()})


# Losses.


@pytest.mark.parametrize('dtype', [np.uint8, np.int32, np.int64])
def test_plain_loss_in_training_and_evaluation(dtype):
    expected = -LOG_P[np.arange(8), LABELS].mean()
    for mode in (ModeKeys.TRAIN, ModeKeys.EVAL):
        assert loss_of(mode, LABELS.astype(dtype)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('labels', [LABELS, MIXED], ids=['int', 'mixed'])
def test_smoothing_and_class_weights(labels):
    target = np.eye(CLASSES)[labels] if labels.ndim == 1 else labels
    weights = target @ WEIGHTS
    plain = -(target * LOG_P).sum(1)
    smooth = -((0.9 * target + 0.1 / CLASSES) * LOG_P).sum(1)
    kwargs = {'class_weights': WEIGHTS, 'label_smoothing': 0.1}
    assert loss_of(ModeKeys.TRAIN, labels, **kwargs) == pytest.approx(
        (weights * smooth).sum() / weights.sum(), rel=1e-5
    )
    # Evaluation has no smoothing.
    assert loss_of(ModeKeys.EVAL, labels, **kwargs) == pytest.approx(
        (weights * plain).sum() / weights.sum(), rel=1e-5
    )


def test_one_hot_labels_and_indices_give_one_loss():
    one_hot = np.eye(CLASSES, dtype=np.float32)[LABELS]
    for smoothing in (0.0, 0.2):
        assert loss_of(
            ModeKeys.TRAIN, one_hot, label_smoothing=smoothing
        ) == pytest.approx(
            loss_of(ModeKeys.TRAIN, LABELS, label_smoothing=smoothing), rel=1e-5
        )


def test_a_batch_without_weight_gives_zero_and_not_nan():
    labels = np.ones(8, np.int32)
    assert loss_of(ModeKeys.TRAIN, labels, class_weights=WEIGHTS) == 0


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
@pytest.mark.parametrize('label', [-1, CLASSES])
def test_a_label_out_of_range_is_an_error(label, smoothing):
    with pytest.raises(tf.errors.InvalidArgumentError):
        loss_of(ModeKeys.TRAIN, np.full(8, label, np.int32), label_smoothing=smoothing)


SIGMOIDS = 1 / (1 + np.exp(-LOGITS))


@pytest.mark.parametrize('labels', [LABELS, MIXED], ids=['int', 'mixed'])
def test_squared_error_of_sigmoids(labels):
    target = np.eye(CLASSES)[labels] if labels.ndim == 1 else labels
    plain = ((SIGMOIDS - target) ** 2).sum(1) / 2
    for mode in (ModeKeys.TRAIN, ModeKeys.EVAL):
        assert loss_of(mode, labels, loss='squared_error') == pytest.approx(
            plain.mean(), rel=1e-5
        )
    smooth = ((SIGMOIDS - 0.9 * target - 0.1 / CLASSES) ** 2).sum(1) / 2
    weights = target @ WEIGHTS
    kwargs = {'class_weights': WEIGHTS, 'label_smoothing': 0.1}
    assert loss_of(
        ModeKeys.TRAIN, labels, loss='squared_error', **kwargs
    ) == pytest.approx((weights * smooth).sum() / weights.sum(), rel=1e-5)


def test_gradient_of_the_squared_error():
    # (a - y) a (1 - a), the lesson's error of the last layer.
    with tf.Graph().as_default(), v1.Session() as session:
        logits = tf.constant(LOGITS)
        loss_fn = classification_loss(
            tf.constant(LABELS), CLASSES, HeadSpec(loss='squared_error')
        )
        loss, _ = loss_fn(logits, tf.constant(LABELS))
        gradient = session.run(tf.gradients(loss, logits))[0]
    expected = (SIGMOIDS - np.eye(CLASSES)[LABELS]) * SIGMOIDS * (1 - SIGMOIDS) / 8
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-7)


def test_a_label_out_of_range_is_an_error_of_the_squared_error():
    with pytest.raises(tf.errors.InvalidArgumentError):
        loss_of(ModeKeys.TRAIN, np.full(8, CLASSES, np.int32), loss='squared_error')


def test_predictions_of_sigmoids_are_normalized():
    found, _ = predict(loss='squared_error')
    shares = SIGMOIDS / SIGMOIDS.sum(1, keepdims=True)
    np.testing.assert_allclose(found['probabilities'], shares, rtol=1e-5)
    np.testing.assert_allclose(found['logits'], np.log(SIGMOIDS), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found['class_index'], LOGITS.argmax(1))


def test_an_unknown_loss_is_refused():
    with tf.Graph().as_default(), pytest.raises(SettingError, match='did you mean'):
        classify(ModeKeys.EVAL, loss='squared_eror')


# Training.


def test_train_metrics_are_published_for_hooks():
    with tf.Graph().as_default(), v1.Session() as session:
        spec = classify(ModeKeys.TRAIN)
        session.run(v1.global_variables_initializer())
        tensors = dict(v1.get_collection(graph_collections.TRAIN_METRICS))
        values = session.run(tensors)
        assert set(values) == {'loss', 'accuracy', 'learning_rate'}
        assert values['loss'] == session.run(spec.loss)
        assert values['accuracy'] == np.mean(LOGITS.argmax(1) == LABELS)
        assert values['learning_rate'] == np.float32(0.01)
        session.run(spec.train_op)
        assert session.run(v1.train.get_global_step()) == 1


def test_train_summaries_have_the_tags_of_the_evaluation():
    with tf.Graph().as_default(), v1.Session() as session:
        classify(ModeKeys.TRAIN)
        session.run(v1.global_variables_initializer())
        summary = v1.Summary.FromString(session.run(v1.summary.merge_all()))
        tags = {value.tag for value in summary.value}
    assert tags == {'accuracy', 'learning_rate'}


def test_train_metrics_can_be_written_into_a_meta_graph(caplog):
    with tf.Graph().as_default() as graph:
        classify(ModeKeys.TRAIN)
        logging.getLogger('tensorflow').propagate = True
        with caplog.at_level(logging.WARNING):
            meta = v1.train.export_meta_graph(graph=graph)
    assert not [
        r for r in caplog.records if graph_collections.TRAIN_METRICS in r.getMessage()
    ]
    assert (
        len(meta.collection_def[graph_collections.TRAIN_METRICS].node_list.value) == 3
    )


def test_mixed_labels_count_as_their_largest_class():
    with tf.Graph().as_default(), v1.Session() as session:
        classify(ModeKeys.TRAIN, MIXED)
        session.run(v1.global_variables_initializer())
        accuracy = session.run(
            dict(v1.get_collection(graph_collections.TRAIN_METRICS))['accuracy']
        )
    assert accuracy == np.mean(MIXED.argmax(1) == LOGITS.argmax(1))


def test_training_without_an_optimizer_is_refused():
    with tf.Graph().as_default(), pytest.raises(SettingError, match='optimizer'):
        classify(ModeKeys.TRAIN, optimizer=None)


# Evaluation.


def test_evaluation_metrics():
    with tf.Graph().as_default():
        values = evaluate(classify(ModeKeys.EVAL, class_names=NAMES))
    assert set(values) == {
        'accuracy',
        'average_loss',
        'macro_f1',
        'expected_calibration_error',
        'top_5_accuracy',
        *(f'precision/{name}' for name in NAMES),
        *(f'recall/{name}' for name in NAMES),
        *(f'examples/{name}' for name in NAMES),
    }
    assert values['accuracy'] == np.mean(LOGITS.argmax(1) == LABELS)
    ranks = (-LOGITS).argsort(1).argsort(1)[np.arange(8), LABELS]
    assert values['top_5_accuracy'] == np.mean(ranks < 5)
    assert values['average_loss'] == pytest.approx(
        -LOG_P[np.arange(8), LABELS].mean(), rel=1e-5
    )


def test_average_loss_weighs_classes_as_the_loss_does():
    with tf.Graph().as_default():
        values = evaluate(classify(ModeKeys.EVAL, class_weights=WEIGHTS))
    expected = loss_of(ModeKeys.EVAL, class_weights=WEIGHTS)
    assert values['average_loss'] == pytest.approx(expected, rel=1e-5)


def test_few_classes_have_no_top_5():
    with tf.Graph().as_default():
        spec = classify(
            ModeKeys.EVAL, np.zeros(8, np.int32), LOGITS[:, :5], num_classes=5
        )
        assert 'top_5_accuracy' not in spec.eval_metric_ops
        assert 'precision/4' in spec.eval_metric_ops


# Prediction.


def predict(**kwargs):
    with tf.Graph().as_default(), v1.Session() as session:
        spec = classify(ModeKeys.PREDICT, None, **kwargs)
        session.run(v1.global_variables_initializer())
        return session.run(spec.predictions), spec


def test_predictions_are_names_sorted_by_score():
    predictions, _ = predict(class_names=NAMES)
    order = (-LOGITS).argsort(1)[:, :5]
    np.testing.assert_array_equal(
        predictions['classes'], np.array(NAMES, dtype='S').astype(object)[order]
    )
    probabilities = np.exp(LOG_P)
    np.testing.assert_allclose(predictions['probabilities'], probabilities, rtol=1e-5)
    np.testing.assert_allclose(
        predictions['scores'], np.take_along_axis(probabilities, order, 1), rtol=1e-5
    )
    np.testing.assert_array_equal(predictions['class_index'], LOGITS.argmax(1))
    np.testing.assert_array_equal(predictions['logits'], LOGITS)


def test_equal_scores_put_the_lower_class_first():
    predictions, _ = predict(logits=np.zeros((1, CLASSES), np.float32))
    assert predictions['class_index'] == [0]
    assert list(predictions['classes'][0]) == [b'0', b'1', b'2', b'3', b'4']


def test_few_classes_are_all_listed():
    predictions, _ = predict(logits=LOGITS[:, :2], num_classes=2)
    assert predictions['classes'].shape == predictions['scores'].shape == (8, 2)


def test_names_may_hold_any_letters():
    names = ['köpek', 'кошка', '鸟', 'a/b', 'c d', '_']
    predictions, _ = predict(class_names=names)
    assert {n.decode() for row in predictions['classes'] for n in row} <= set(names)


def test_the_key_is_returned_but_not_served():
    keys = [str(i).encode() for i in range(8)]

    def spec():
        return classify(ModeKeys.PREDICT, None, features={'key': tf.constant(keys)})

    with tf.Graph().as_default(), v1.Session() as session:
        made = spec()
        session.run(v1.global_variables_initializer())
        assert list(session.run(made.predictions['key'])) == keys
        served = made.export_outputs['serving_default'].outputs
    assert set(served) == {
        'classes',
        'scores',
        'class_index',
        'probabilities',
        'logits',
    }
    assert not [
        name
        for name, tensor in served.items()
        if tensor.dtype == tf.string and name.endswith('_bytes')
    ]


def test_no_lookup_table_in_the_graph():
    with tf.Graph().as_default() as graph:
        classify(ModeKeys.PREDICT, None, class_names=NAMES)
        types = {op.type for op in graph.get_operations()}
    assert not [t for t in types if 'Table' in t]


# Errors.


@pytest.mark.parametrize(
    'wrong, message',
    [
        ({'num_classes': 1}, '`num_classes` must be at least 2, got 1'),
        ({'class_names': NAMES[:5]}, 'each of the 6 classes, got 5'),
        ({'class_names': ['a'] * 6}, 'same name'),
        ({'label_smoothing': 1.0}, '`label_smoothing` must be below 1'),
        ({'class_weights': [1.0]}, 'each of the 6 classes, got 1'),
        ({'class_weights': [0.0] * 6}, 'must not all be 0'),
        ({'class_weights': [-1.0] * 6}, 'at least 0'),
    ],
)
def test_wrong_settings(wrong, message):
    with tf.Graph().as_default(), pytest.raises(SettingError) as e:
        classify(ModeKeys.TRAIN, **wrong)
    assert message in str(e.value)


@pytest.mark.parametrize(
    'labels', [LABELS[:, np.newaxis], MIXED[:, :3], LABELS.astype(np.float32), None]
)
def test_labels_of_the_wrong_shape(labels):
    with tf.Graph().as_default(), pytest.raises(ValueError, match='labels'):
        classify(ModeKeys.TRAIN, labels)


def test_logits_of_the_wrong_shape():
    with tf.Graph().as_default(), pytest.raises(ValueError, match='6 classes'):
        classify(ModeKeys.TRAIN, logits=LOGITS[:, :4])
