"""Integrated gradients: what each pixel adds to the score of a class."""

import numpy as np

from estimator_clf.explain.explainer import BATCH

# The largest gap that is left alone, and the most steps that are spent on closing it.
_GAP = 0.01
_MOST_STEPS = 1024


def complete_gradients(explainer, image, class_number, baseline, steps=0):
    """Takes as many steps as it takes: `integrated_gradients`, until the gap is 1 %.

    Args:
      explainer: see `integrated_gradients`.
      image: also.
      class_number: also.
      baseline: also.
      steps: exactly so many; 0: 64, doubled as often as need be, up to 1024.

    Returns:
      (attributions, gap, number of steps).
    """
    count = steps or 64
    while True:
        found = integrated_gradients(explainer, image, class_number, baseline, count)
        if steps or found[1] <= _GAP or count >= _MOST_STEPS:
            return *found, count
        count *= 2


def integrated_gradients(explainer, image, class_number, baseline, steps=64):
    """Attributes a score to the pixels (Sundararajan, Taly and Yan, 2017).

    `(x - b) * mean of the gradient on the way from b to x`, section 3, by the midpoint
    rule. By the axiom of completeness (their proposition 1) the attributions add up to
    the score of the image less that of the baseline; what they miss is the fault of
    the finite number of steps.

    Args:
      explainer: `Explainer`.
      image: [H, W, C], units 0..255.
      class_number: whose score, the output of the last layer, is explained.
      baseline: [C] or [H, W, C], an image of nothing, in the same units.
      steps: points on the way.

    Returns:
      (float32 [H, W, C], in units of the score; the gap: the share of the difference in
      score that the attributions do not add up to, 0 where there is no difference).
    """
    image = np.asarray(image, np.float32)
    baseline = np.broadcast_to(np.asarray(baseline, np.float32), image.shape)
    way = image - baseline
    goal = explainer.goal(explainer.scores)
    total = np.zeros(image.shape, np.float64)
    shares = ((np.arange(steps) + 0.5) / steps).astype(np.float32)
    for i in range(0, steps, BATCH):
        points = baseline + shares[i : i + BATCH, None, None, None] * way
        total += explainer.gradient(goal, points, class_number)[1].sum(0, np.float64)
    attributions = way * (total / steps)
    ends = explainer.class_scores(np.stack([baseline, image]), class_number)
    difference = float(ends[1]) - float(ends[0])
    gap = abs(attributions.sum() - difference) / abs(difference) if difference else 0.0
    return attributions.astype(np.float32), float(gap)
