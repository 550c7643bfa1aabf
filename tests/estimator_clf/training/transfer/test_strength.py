"""The regularization is chosen on images that the fit has not seen."""

import numpy as np
import pytest

from estimator_clf.training.transfer.strength import (
    MIN_VALIDATION,
    STRENGTHS,
    Examples,
    choose,
    stratified_folds,
    wilson,
)
from tests.estimator_clf.training.transfer.test_softmax_regression import make_data


def examples(count, size=20, seed=0):
    x, labels = make_data(count, size, seed=seed)
    return Examples(x[None], labels)


def test_large_validation_split_chooses():
    validation = examples(MIN_VALIDATION)
    choice = choose(examples(60), 3, validation=validation)
    assert choice.held_out == MIN_VALIDATION
    assert 'validation split, 200 images' in choice.method
    assert [c.l2 for c in choice.tried] == list(STRENGTHS[: len(choice.tried)])
    assert choice.best.cross_entropy == min(c.cross_entropy for c in choice.tried)


@pytest.mark.combinations
@pytest.mark.parametrize('validation', [None, 50], ids=['without', 'small'])
def test_cross_validation_without_a_large_validation_split(validation):
    other = examples(validation, seed=1) if validation else None
    choice = choose(examples(60), 3, validation=other)
    assert choice.method == '5-fold cross-validation, 4 times'
    assert choice.held_out == 60


@pytest.mark.extended
def test_noise_is_regularized_more_than_signal():
    signal = examples(90, 40)
    rng = np.random.default_rng(0)
    noise = Examples(signal.x, rng.permutation(signal.labels))
    assert choose(noise, 3).l2 > choose(signal, 3).l2


def test_mirrored_variants_are_held_out_with_their_image():
    # Were a variant of a held-out image fitted, the labels would be learned by heart.
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 100, 300))
    choice = choose(Examples(np.concatenate([x, x]), np.arange(100) % 2), 2)
    assert choice.best.accuracy < 0.7


def test_single_examples_of_classes_are_never_held_out():
    labels = np.array([0] * 7 + [1] + [2] * 5)
    folds = stratified_folds(labels, 5, 0)
    assert folds[7] == -1
    assert sorted(folds[8:].tolist()) == [0, 1, 2, 3, 4]
    counts = np.bincount(folds[folds >= 0], minlength=5)
    assert counts.max() - counts.min() <= 1


def test_one_image_per_class_has_a_default():
    x, labels = make_data(3, 5)
    choice = choose(Examples(x[None], labels), 3)
    assert choice.held_out == 0 and choice.l2 in STRENGTHS


def test_wilson_interval_of_a_known_case():
    # Wikipedia's and R's prop.test(correct=FALSE) for 8 of 10.
    low, high = wilson(0.8, 10)
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)
    assert wilson(1.0, 50)[1] == 1.0
