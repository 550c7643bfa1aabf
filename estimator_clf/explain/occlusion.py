"""Occlusion: how much the network misses each part of an image."""

import numpy as np

from estimator_clf.explain.explainer import BATCH


def occlusion(explainer, image, class_number, patch, stride, color):
    """Slides a patch over an image (Zeiler and Fergus, 2014, section 4.2).

    Args:
      explainer: `Explainer`.
      image: [H, W, C], units 0..255.
      class_number: whose probability is watched.
      patch: side of the square patch in pixels.
      stride: by how many pixels it moves; the last patch ends with the image.
      color: [C], of the patch.

    Returns:
      float32 [H, W]: for each pixel by how much the probability falls, as the mean over
      all patches that cover it; negative where covering it raises the probability.
    """
    image = np.asarray(image, np.float32)
    height, width, _ = image.shape
    corners = [
        (top, left)
        for top in _starts(height, patch, stride)
        for left in _starts(width, patch, stride)
    ]
    before = explainer.probabilities(image[None])[0, class_number]
    drops = np.zeros((height, width))
    covers = np.zeros((height, width))
    for i in range(0, len(corners), BATCH):
        part = corners[i : i + BATCH]
        images = np.repeat(image[None], len(part), 0)
        for covered, (top, left) in zip(images, part, strict=True):
            covered[top : top + patch, left : left + patch] = color
        after = explainer.probabilities(images)[:, class_number]
        for (top, left), value in zip(part, after, strict=True):
            place = slice(top, top + patch), slice(left, left + patch)
            drops[place] += before - value
            covers[place] += 1
    return (drops / covers).astype(np.float32)


def default_patch(shape):
    """Returns (side, stride) of a patch for images of a shape (H, W, C).

    A fifth of the shorter side: large enough to hide a part of a thing, small enough to
    tell where it is.
    """
    patch = max(1, round(min(shape[:2]) / 5))
    return patch, max(1, patch // 3)


def _starts(size, patch, stride):
    last = max(0, size - patch)
    return sorted({*range(0, last, stride), last})
