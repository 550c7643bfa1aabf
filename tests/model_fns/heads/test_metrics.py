"""Streaming metrics against scikit-learn, over batches of different sizes."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics as sklearn_metrics

from model_fns.heads import metrics

v1 = tf.compat.v1

CLASSES = 7
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(103, CLASSES)).astype(np.float32) * 2
# Class 5 is not among the labels, class 6 neither among labels nor predictions.
LABELS = RNG.integers(0, 5, 103)
LOGITS[:, 6] = -20
LOGITS[np.arange(103), LABELS] += RNG.integers(0, 2, 103) * 2
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
PREDICTED = LOGITS.argmax(1)
LOSSES = RNG.gamma(2.0, size=103).astype(np.float32)
WEIGHTS = RNG.random(103).astype(np.float32)
NAMES = [f'name {i}' for i in range(CLASSES)]

# 103 examples: batches of 40, 40 and a short one of 23, or one at a time.
SPLITS = [[40, 80], list(range(1, 103))]


def stream(build, *arrays, splits):
    """Feeds the arrays in batches; returns the final values of a dict of metrics."""
    with tf.Graph().as_default(), v1.Session() as session:
        feeds = [
            v1.placeholder(tf.as_dtype(a.dtype), (None, *a.shape[1:])) for a in arrays
        ]
        built = build(*feeds)
        built = built if isinstance(built, dict) else {'value': built}
        values = {key: value for key, (value, _) in built.items()}
        updates = [update for _, update in built.values()]
        session.run(v1.local_variables_initializer())
        for batch in zip(*(np.split(a, splits) for a in arrays), strict=True):
            session.run(updates, dict(zip(feeds, batch, strict=True)))
        result = session.run(values)
        assert session.run(values) == result, 'reading must not change the state'
    return result if 'value' not in result else result['value']


@pytest.mark.parametrize('splits', SPLITS)
class TestAgainstReference:
    def test_accuracy(self, splits):
        value = stream(metrics.accuracy, LABELS, PREDICTED, splits=splits)
        assert value == pytest.approx(
            sklearn_metrics.accuracy_score(LABELS, PREDICTED), rel=1e-12
        )

    def test_top_k(self, splits):
        value = stream(
            lambda labels, scores: metrics.top_k_accuracy(labels, scores, 3),
            LABELS,
            LOGITS,
            splits=splits,
        )
        expected = sklearn_metrics.top_k_accuracy_score(
            LABELS, LOGITS, k=3, labels=range(CLASSES)
        )
        assert value == pytest.approx(expected, rel=1e-12)

    def test_average_weights_a_short_batch_by_its_size(self, splits):
        value = stream(lambda x: metrics.average('a', x), LOSSES, splits=splits)
        assert value == pytest.approx(LOSSES.astype(np.float64).mean(), rel=1e-6)

    def test_weighted_average(self, splits):
        value = stream(
            lambda x, w: metrics.average('a', x, w), LOSSES, WEIGHTS, splits=splits
        )
        assert value == pytest.approx(np.average(LOSSES, weights=WEIGHTS), rel=1e-6)

    def test_by_class(self, splits):
        values = stream(
            lambda labels, predicted: metrics.by_class(labels, predicted, NAMES),
            LABELS,
            PREDICTED,
            splits=splits,
        )
        assert 5 in PREDICTED and 6 not in PREDICTED
        kwargs = {'average': None, 'labels': range(CLASSES), 'zero_division': 0}
        precision = sklearn_metrics.precision_score(LABELS, PREDICTED, **kwargs)
        recall = sklearn_metrics.recall_score(LABELS, PREDICTED, **kwargs)
        for i, name in enumerate(NAMES):
            assert values[f'precision/{name}'] == pytest.approx(precision[i])
            assert values[f'recall/{name}'] == pytest.approx(recall[i])
            assert values[f'examples/{name}'] == list(LABELS).count(i)
        # Over the labels that occur: scikit-learn's own choice.
        f1 = sklearn_metrics.f1_score(LABELS, PREDICTED, average='macro')
        assert values['macro_f1'] == pytest.approx(f1, rel=1e-12)

    def test_calibration_error(self, splits):
        value = stream(
            metrics.expected_calibration_error, LABELS, PROBABILITIES, splits=splits
        )
        confidence = PROBABILITIES.max(1)
        expected = 0.0
        for i in range(15):
            chosen = (confidence > i / 15) & (confidence <= (i + 1) / 15)
            if chosen.any():
                accuracy = (LABELS == PREDICTED)[chosen].mean()
                gap = abs(accuracy - confidence[chosen].mean())
                expected += gap * chosen.sum() / len(LABELS)
        assert expected > 0.01
        assert value == pytest.approx(expected, rel=1e-5)

    def test_root_mean_squared_error(self, splits):
        value = stream(metrics.root_mean_squared_error, LOSSES, WEIGHTS, splits=splits)
        expected = sklearn_metrics.mean_squared_error(LOSSES, WEIGHTS) ** 0.5
        assert value == pytest.approx(expected, rel=1e-6)


def test_confidence_1_is_in_the_last_bin():
    # Confident and correct is perfectly calibrated; confident and wrong is not.
    probabilities = np.eye(3, dtype=np.float32)
    for labels, expected in (([0, 1, 2], 0.0), ([1, 2, 0], 1.0)):
        value = stream(
            metrics.expected_calibration_error,
            np.array(labels),
            probabilities,
            splits=[1],
        )
        assert value == expected


def test_a_bin_includes_its_upper_end():
    # 0.95 and correct, 1 and wrong: one bin, accuracy 0.5, confidence 0.975.
    probabilities = np.array([[0.95, 0.05], [1.0, 0.0]], np.float32)
    value = stream(
        metrics.expected_calibration_error,
        np.array([0, 1]),
        probabilities,
        splits=[1],
    )
    assert value == pytest.approx(0.475, rel=1e-6)


def test_many_classes_are_not_listed():
    def keys(classes):
        with tf.Graph().as_default():
            index = tf.constant([0], tf.int64)
            return set(metrics.by_class(index, index, [str(i) for i in range(classes)]))

    assert len(keys(50)) == 151
    assert keys(51) == {'macro_f1'}


def test_counts_continue_beyond_the_precision_of_float32():
    with tf.Graph().as_default(), v1.Session() as session:
        value, update = metrics.accuracy(
            tf.constant([1], tf.int64), tf.constant([1], tf.int64)
        )
        session.run(v1.local_variables_initializer())
        total, weight = v1.local_variables()
        session.run([total.assign(2.0**24), weight.assign(2.0**24)])
        session.run([update])
        assert session.run(weight) == 2**24 + 1
        assert session.run(value) == 1.0


def test_no_examples_give_zero_and_no_error():
    def build(labels, predicted):
        return metrics.by_class(labels, predicted, NAMES)

    empty = np.array([], np.int64)
    assert stream(build, empty, empty, splits=[])['macro_f1'] == 0
