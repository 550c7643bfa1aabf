"""Chooses the regularization of a softmax regression on held-out examples."""

import dataclasses
import math

import numpy as np

from estimator_clf.training.transfer.softmax_regression import (
    COARSE,
    Problem,
    Scaler,
    cross_entropy,
)

#: Candidates, strong to weak: each fit starts from the solution of the one before it.
STRENGTHS = tuple(10.0 ** (half / 2) for half in range(2, -9, -1))

#: A validation split below this size is too noisy to choose by.
MIN_VALIDATION = 200

# Strengths to try beyond the best one.
_PAST_BEST = 3

_FOLDS = 5
# Repetitions make up for the small folds of a few examples.
_REPEATED_BELOW, _REPEATS = 200, 4
# Above this size one fold is enough to choose by.
_SINGLE_FOLD_ABOVE = 5000


@dataclasses.dataclass(frozen=True)
class Examples:
    """Features and labels of some images.

    Attributes:
      x: floating [V, N, D]: variants of each image, the image itself first.
      labels: integers [N].
      blocks: number of equal blocks of the D features, see `Scaler`.
    """

    x: np.ndarray
    labels: np.ndarray
    blocks: int = 1


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Result of one strength on the held-out examples."""

    l2: float
    cross_entropy: float
    accuracy: float


@dataclasses.dataclass(frozen=True)
class Choice:
    """The chosen strength.

    Attributes:
      l2: the strength.
      method: how it was chosen, in words.
      held_out: number of distinct held-out examples; 0: nothing could be held out.
      tried: the results of all strengths.
    """

    l2: float
    method: str
    held_out: int
    tried: tuple[Candidate, ...] = ()

    @property
    def best(self) -> Candidate:
        """Result of the chosen strength."""
        return next(c for c in self.tried if c.l2 == self.l2)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy on the held-out examples."""
        return wilson(self.best.accuracy, self.held_out)


def wilson(share: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """Returns the Wilson score interval of a share of `count` examples."""
    center = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    half *= z / (1 + z**2 / count)
    return max(0.0, center - half), min(1.0, center + half)


def fit(
    examples: Examples,
    num_classes: int,
    l2: float,
    class_weights: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Fits a softmax regression to features as they are.

    Args:
      examples: all variants are fitted.
      num_classes: K.
      l2: strength of the regularization, in the scale of standardized features.
      class_weights: [K]; None: all equal.

    Returns:
      kernel [D, K] and bias [K].
    """
    scaler, problem = _prepare(examples, num_classes, class_weights)
    return scaler.fold(*problem.fit(l2))


def choose(
    examples: Examples,
    num_classes: int,
    *,
    validation: Examples | None = None,
    class_weights: np.ndarray | None = None,
    seed: int = 0,
) -> Choice:
    """Chooses the strength with the lowest cross-entropy on held-out examples.

    Cross-entropy, not accuracy: on a few hundred images the accuracies of neighboring
    strengths differ by single images.

    Args:
      examples: training examples.
      num_classes: K.
      validation: the validation split; without one, or with fewer than
        `MIN_VALIDATION` examples, cross-validation on `examples`.
      class_weights: [K]; None: all equal.
      seed: of the folds.
    """
    if validation is not None and len(validation.labels) >= MIN_VALIDATION:
        pairs, repeats = [(examples, validation)], 1
        method = f'the validation split, {len(validation.labels)} images'
    else:
        pairs, repeats, method = _cross_validation(examples, seed)
    if not pairs:
        strength = STRENGTHS[len(STRENGTHS) // 2]
        return Choice(strength, 'default, for lack of images to hold out', 0)
    problems = [_prepare(training, num_classes, class_weights) for training, _ in pairs]
    count = sum(len(held_out.labels) for _, held_out in pairs)
    tried: list[Candidate] = []
    for l2 in STRENGTHS:
        totals = np.zeros(3)
        for (scaler, problem), (_, held_out) in zip(problems, pairs, strict=True):
            kernel, bias = scaler.fold(*problem.fit(l2, COARSE))
            losses, right = cross_entropy(held_out.x[0], held_out.labels, kernel, bias)
            weights = np.ones(len(losses))
            if class_weights is not None:
                weights = class_weights[held_out.labels]
            totals += weights @ losses, weights.sum(), right.sum()
        loss, weight, hits = totals.tolist()
        tried.append(Candidate(l2, loss / max(weight, 1e-12), hits / count))
        # Weaker ones take longest, and the curve has one minimum up to noise.
        values = [candidate.cross_entropy for candidate in tried]
        if len(values) - 1 - int(np.argmin(values)) >= _PAST_BEST:
            break
    best = min(tried, key=lambda candidate: candidate.cross_entropy)
    return Choice(best.l2, method, count // repeats, tuple(tried))


def _cross_validation(examples, seed):
    """Returns (training, held-out) pairs, repetitions, and a description."""
    size = len(examples.labels)
    repeats = _REPEATS if size < _REPEATED_BELOW else 1
    used = 1 if size > _SINGLE_FOLD_ABOVE else _FOLDS
    pairs = []
    for repeat in range(repeats):
        folds = stratified_folds(examples.labels, _FOLDS, seed + repeat)
        for fold in range(used):
            out = folds == fold
            if out.any() and not out.all():
                pairs.append((_take(examples, ~out), _take(examples, out)))
    method = f'{_FOLDS}-fold cross-validation'
    if used == 1:
        method = f'a fifth of the {size} training images'
    elif repeats > 1:
        method += f', {repeats} times'
    return pairs, repeats, method


def stratified_folds(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Assigns examples to folds, each class evenly.

    Args:
      labels: integers [N].
      folds: number of folds.
      seed: of the order in which each class is dealt out.

    Returns:
      int64 [N]: the fold of each example; -1, never held out, for the only example of
      a class.
    """
    assigned = np.full(len(labels), -1)
    rng = np.random.default_rng(seed)
    dealt = 0
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        if len(rows) == 1:
            continue
        assigned[rows] = (dealt + np.arange(len(rows))) % folds
        dealt += len(rows)  # Small classes must not all be in the first folds.
    return assigned


def _prepare(examples, num_classes, class_weights):
    x = examples.x.reshape(-1, examples.x.shape[-1])
    labels = np.tile(examples.labels, len(examples.x))
    weights = None if class_weights is None else class_weights[labels]
    scaler = Scaler.of(x, examples.blocks)
    return scaler, Problem(scaler(x), labels, num_classes, weights)


def _take(examples: Examples, rows: np.ndarray) -> Examples:
    return Examples(examples.x[:, rows], examples.labels[rows], examples.blocks)
