"""Softmax regression: the optimum of a convex problem, however it is computed."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from estimator_clf.training.transfer.softmax_regression import (
    Problem,
    Scaler,
    cross_entropy,
)


def make_data(count, size, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    centers = rng.normal(0, 1, (classes, size))
    return centers[labels] + rng.normal(0, 1.5, (count, size)), labels


@pytest.mark.parametrize(('count', 'size'), [(60, 5), (20, 50)])
def test_solution_is_that_of_scikit_learn(count, size):
    x, labels = make_data(count, size)
    l2 = 0.3
    kernel, bias = Problem(x, labels, 3).fit(l2)
    peer = LogisticRegression(C=1 / (l2 * count), tol=1e-10, max_iter=10000)
    peer.fit(x, labels)
    np.testing.assert_allclose(kernel, peer.coef_.T, atol=1e-4)
    np.testing.assert_allclose(
        bias, peer.intercept_ - peer.intercept_.mean(), atol=1e-4
    )


def test_class_weights_are_those_of_scikit_learn():
    x, labels = make_data(60, 5)
    weights = np.array([1.0, 2.0, 5.0])
    kernel, _ = Problem(x, labels, 3, weights[labels]).fit(0.1)
    strength = 1 / (0.1 * weights[labels].sum())
    peer = LogisticRegression(
        C=strength, tol=1e-10, max_iter=10000, class_weight=dict(enumerate(weights))
    )
    peer.fit(x, labels)
    np.testing.assert_allclose(kernel, peer.coef_.T, atol=1e-4)


def test_solution_does_not_depend_on_the_start():
    x, labels = make_data(30, 40)
    along = Problem(x, labels, 3)
    for l2 in (10.0, 1.0):
        along.fit(l2)
    for one, other in zip(along.fit(0.1), Problem(x, labels, 3).fit(0.1), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_same_data_gives_the_same_bits():
    x, labels = make_data(30, 40)
    one, other = (Problem(x, labels, 3).fit(0.01) for _ in range(2))
    assert one[0].tobytes() == other[0].tobytes()


def test_folded_scaler_computes_the_same_logits():
    x, labels = make_data(30, 6)
    x = x * np.array([1, 1, 1, 100, 100, 100]) + 7
    scaler = Scaler.of(x, blocks=2)
    kernel, bias = Problem(scaler(x), labels, 3).fit(0.1)
    folded_kernel, folded_bias = scaler.fold(kernel, bias)
    np.testing.assert_allclose(
        x @ folded_kernel + folded_bias, scaler(x) @ kernel + bias
    )


def test_scaler_scales_each_block_to_unit_mean_variance():
    x, _ = make_data(200, 6)
    x = x * np.array([1, 2, 3, 100, 200, 300]) + 7
    scaled = Scaler.of(x, blocks=2)(x)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.var(0).reshape(2, 3).mean(1), 1)


def test_constant_features_stay_finite():
    x = np.ones((6, 4))
    kernel, bias = Problem(Scaler.of(x)(x), np.arange(6) % 2, 2).fit(0.1)
    assert np.isfinite(kernel).all() and np.isfinite(bias).all()


def test_cross_entropy_of_certain_predictions():
    losses, right = cross_entropy(
        np.eye(2), np.array([0, 0]), np.array([[50.0, 0], [0, 50.0]]), np.zeros(2)
    )
    np.testing.assert_allclose(losses, [0, 50], atol=1e-9)
    assert right.tolist() == [True, False]
