"""Occlusion sensitivity: effect of covering each part of an image."""

import numpy as np

from estimator_clf.explain.explainer import BATCH, Explainer


def occlusion(
    explainer: Explainer,
    image: np.ndarray,
    class_index: int,
    patch: int,
    stride: int,
    color: np.ndarray,
) -> np.ndarray:
    """Slides a patch over an image (Zeiler and Fergus, 2014, section 4.2).

    Args:
      explainer: restored network.
      image: [H, W, C] in 0..255.
      class_index: class whose probability is measured.
      patch: side of the square patch in pixels.
      stride: step of the patch in pixels; the last patch ends at the border.
      color: [C], of the patch.

    Returns:
      float32 [H, W]: drop of the probability at each pixel, as the mean over all
      patches that cover it; negative if covering the pixel raises the probability.
    """
    image = np.asarray(image, np.float32)
    height, width, _ = image.shape
    corners = [
        (top, left)
        for top in _starts(height, patch, stride)
        for left in _starts(width, patch, stride)
    ]
    before = explainer.probabilities(image[None])[0, class_index]
    drops = np.zeros((height, width))
    covers = np.zeros((height, width))
    for i in range(0, len(corners), BATCH):
        batch = corners[i : i + BATCH]
        images = np.repeat(image[None], len(batch), 0)
        for covered, (top, left) in zip(images, batch, strict=True):
            covered[top : top + patch, left : left + patch] = color
        after = explainer.probabilities(images)[:, class_index]
        for (top, left), value in zip(batch, after, strict=True):
            region = slice(top, top + patch), slice(left, left + patch)
            drops[region] += before - value
            covers[region] += 1
    return (drops / covers).astype(np.float32)


def default_patch(shape: tuple[int, int, int]) -> tuple[int, int]:
    """Returns (side, stride) of the default patch for images of shape (H, W, C).

    A fifth of the shorter side: large enough to hide a part of an object, small enough
    to localize it.
    """
    patch = max(1, round(min(shape[:2]) / 5))
    return patch, max(1, patch // 3)


def _starts(size: int, patch: int, stride: int) -> list[int]:
    last = max(0, size - patch)
    return sorted({*range(0, last, stride), last})
