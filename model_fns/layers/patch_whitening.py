"""Filters that whiten the patches of images, from the images. NumPy only."""

from collections.abc import Iterable

import numpy as np


def filters(
    batches: Iterable[np.ndarray], size: int, epsilon: float = 0.0
) -> np.ndarray:
    """Computes the filters of a whitening convolution.

    Of all patches of `size` by `size` pixels the uncentred covariance is taken apart
    into eigenvectors v and eigenvalues e: a filter is v / sqrt(e + epsilon), whose
    outputs have, over all patches, a mean square of 1 and no correlation with those of
    another (Page, 2018, "How to Train Your ResNet 8: Bag of Tricks"; Coates and Ng,
    2012, section 3.2). For an activation that drops what is negative each filter comes
    with its opposite.

    Args:
        batches: float32 [B, H, W, C] each.
        size: of a patch, in pixels.
        epsilon: keeps directions in which hardly any patch varies from being blown up.

    Returns:
        float32 [size, size, C, 2 * size * size * C], by falling eigenvalue: the
        filters, then their opposites.

    Raises:
        ValueError: no images.
    """
    total, count = 0.0, 0
    for images in batches:
        _, height, width, channels = images.shape
        patches = np.concatenate(
            [
                images[:, i : height - size + 1 + i, j : width - size + 1 + j]
                for i in range(size)
                for j in range(size)
            ],
            axis=-1,
        ).reshape(-1, size * size * channels)
        # Each batch in float32, which is fast; their sum in float64.
        total = total + (patches.T @ patches).astype(np.float64)
        count += len(patches)
    if not count:
        raise ValueError('there must be at least one image')
    values, vectors = np.linalg.eigh(total / count)
    # An eigenvector's opposite is one, too, and which of the two comes out is up to the
    # library underneath: the largest entry is to be positive.
    rows = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[rows, np.arange(len(values))])
    scaled = (vectors / np.sqrt(np.maximum(values, 0.0) + epsilon))[:, ::-1]
    both = np.concatenate([scaled, -scaled], axis=1)
    return both.reshape(size, size, channels, -1).astype(np.float32)
