"""Convolution kernels that whiten image patches, computed from images with NumPy."""

from collections.abc import Iterable

import numpy as np


def filters(
    batches: Iterable[np.ndarray], size: int, epsilon: float = 0.0
) -> np.ndarray:
    """Computes the kernel of a whitening convolution.

    The uncentered covariance of all patches of `size` by `size` pixels is decomposed
    into eigenvectors v and eigenvalues e. A filter is v / sqrt(e + epsilon): over all
    patches its outputs have a mean square of 1 and no correlation with those of another
    (Page, 2018, "How to Train Your ResNet 8: Bag of Tricks"; Coates and Ng, 2012,
    section 3.2). Each filter is followed by its negative, for activations that drop
    negative values.

    Args:
      batches: float32 [B, H, W, C] each.
      size: of a patch, in pixels.
      epsilon: limits the amplification of directions in which patches hardly vary.

    Returns:
      float32 [size, size, C, 2 * size * size * C], by falling eigenvalue: the
      filters, then their negatives.

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
    # The negative of an eigenvector is one, too, and which of the two is returned
    # depends on the LAPACK library: the largest entry is made positive.
    rows = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[rows, np.arange(len(values))])
    scaled = (vectors / np.sqrt(np.maximum(values, 0.0) + epsilon))[:, ::-1]
    both = np.concatenate([scaled, -scaled], axis=1)
    return both.reshape(size, size, channels, -1).astype(np.float32)
