"""Integrated gradients: attribution of the score of a class to the pixels."""

import numpy as np

from estimator_clf.explain.explainer import BATCH, Explainer

# Largest accepted gap, and maximum number of steps to reach it.
_MAX_GAP = 0.01
_MAX_STEPS = 1024


def complete_gradients(
    explainer: Explainer,
    image: np.ndarray,
    class_index: int,
    baseline: np.ndarray | float,
    steps: int = 0,
) -> tuple[np.ndarray, float, int]:
    """Computes `integrated_gradients` with enough steps for a gap of at most 1 %.

    Args:
      explainer: see `integrated_gradients`.
      image: see `integrated_gradients`.
      class_index: see `integrated_gradients`.
      baseline: see `integrated_gradients`.
      steps: fixed number of steps; 0: 64, doubled as often as necessary, up to 1024.

    Returns:
      (attributions, gap, number of steps).
    """
    count = steps or 64
    while True:
        result = integrated_gradients(explainer, image, class_index, baseline, count)
        if steps or result[1] <= _MAX_GAP or count >= _MAX_STEPS:
            return *result, count
        count *= 2


def integrated_gradients(
    explainer: Explainer,
    image: np.ndarray,
    class_index: int,
    baseline: np.ndarray | float,
    steps: int = 64,
) -> tuple[np.ndarray, float]:
    """Attributes a score to the pixels (Sundararajan, Taly and Yan, 2017).

    `(x - b) * mean gradient on the line from b to x` (section 3), by the midpoint rule.
    By the axiom of completeness (proposition 1) the attributions sum to the score of
    the image minus the score of the baseline; the gap is due to the finite number of
    steps.

    Args:
      explainer: restored network.
      image: [H, W, C] in 0..255.
      class_index: class whose score, the output of the last layer, is explained.
      baseline: scalar, [C] or [H, W, C], an uninformative image in the same units.
      steps: number of points on the line.

    Returns:
      (float32 [H, W, C] in units of the score; the gap: relative difference between the
      sum of the attributions and the difference in score, 0 if there is none).
    """
    image = np.asarray(image, np.float32)
    baseline = np.broadcast_to(np.asarray(baseline, np.float32), image.shape)
    difference = image - baseline
    objective = explainer.objective(explainer.scores)
    total = np.zeros(image.shape, np.float64)
    shares = ((np.arange(steps) + 0.5) / steps).astype(np.float32)
    for i in range(0, steps, BATCH):
        points = baseline + shares[i : i + BATCH, None, None, None] * difference
        _, gradients = explainer.gradient(objective, points, class_index)
        total += gradients.sum(0, np.float64)
    attributions = difference * (total / steps)
    ends = explainer.class_scores(np.stack([baseline, image]), class_index)
    change = float(ends[1]) - float(ends[0])
    gap = abs(attributions.sum() - change) / abs(change) if change else 0.0
    return attributions.astype(np.float32), float(gap)
