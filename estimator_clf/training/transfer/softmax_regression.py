"""Softmax regression with L2 regularization, fitted to convergence by L-BFGS.

It minimizes, over W [D, K] and b [K],

    sum_i w_i CE(softmax(x_i W + b), y_i) / sum_i w_i  +  l2 / 2 |W|²

on standardized features. The problem is strictly convex in W: the result depends on
the data alone, not on a seed, a batch size or a learning rate.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import optimize, special

# Convergence: largest component of the gradient, and iterations at most.
_TOLERANCE = 1e-6
_ITERATIONS = 1000


@dataclasses.dataclass(frozen=True)
class Scaler:
    """Centers features and scales each block of them to unit mean variance.

    One scale for all features of a block: a feature that is nearly constant in a few
    images is not amplified. One block for each pooling: maxima are larger than means
    and would outweigh them. It can be folded into the weights that follow.

    Attributes:
      mean: float64 [D].
      scale: float64 [D], above 0.
    """

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, blocks: int = 1) -> 'Scaler':
        """Computes mean and scale of features.

        Args:
          x: [N, D].
          blocks: number of equal blocks that the D features consist of.
        """
        variance = x.var(0, dtype=np.float64).reshape(blocks, -1).mean(1)
        scale = np.sqrt(np.where(variance > 0, variance, 1.0))
        return cls(x.mean(0, dtype=np.float64), np.repeat(scale, x.shape[1] // blocks))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Returns standardized features, float64 [N, D]."""
        return (x.astype(np.float64) - self.mean) / self.scale

    def fold(self, kernel: np.ndarray, bias: np.ndarray) -> tuple:
        """Returns kernel and bias that compute the same on features as they are."""
        kernel = kernel / self.scale[:, None]
        return kernel, bias - self.mean @ kernel


class Problem:
    """A data set to which softmax regressions of several strengths are fitted."""

    def __init__(
        self,
        x: np.ndarray,
        labels: np.ndarray,
        num_classes: int,
        weights: np.ndarray | None = None,
    ) -> None:
        """Rotates the features into the space that the examples span.

        With an L2 penalty the solution lies in that space, so that the fit of N
        examples takes at most N numbers of each instead of D, without a difference.

        Args:
          x: standardized features, float64 [N, D].
          labels: integers [N].
          num_classes: K.
          weights: of the examples, none negative, [N]; None: all equal.
        """
        count, size = x.shape
        self._basis = None
        if count < size:
            u, s, vt = np.linalg.svd(x, full_matrices=False)
            self._basis, x = vt, u * s
        self._x = np.hstack([x, np.ones((count, 1))])
        if weights is None:
            weights = np.ones(count)
        self._weights = np.asarray(weights, np.float64) / np.sum(weights)
        self._labels = np.asarray(labels)
        self._targets = np.eye(num_classes)[self._labels]
        self._latest = np.zeros((self._x.shape[1], num_classes))

    def fit(self, l2: float) -> tuple[np.ndarray, np.ndarray]:
        """Fits the weights; the previous solution is the start.

        Args:
          l2: strength of the regularization, above 0.

        Returns:
          kernel float64 [D, K] and bias float64 [K].
        """
        shape = self._latest.shape

        def loss_and_gradient(flat):
            w = flat.reshape(shape)
            log_p = special.log_softmax(self._x @ w, axis=1)
            error = (np.exp(log_p) - self._targets) * self._weights[:, None]
            gradient = self._x.T @ error
            gradient[:-1] += l2 * w[:-1]
            loss = -self._weights @ (log_p * self._targets).sum(1)
            return loss + l2 / 2 * np.sum(w[:-1] ** 2), gradient.ravel()

        found = optimize.minimize(
            loss_and_gradient,
            self._latest.ravel(),
            jac=True,
            method='L-BFGS-B',
            options={'gtol': _TOLERANCE, 'ftol': 0.0, 'maxiter': _ITERATIONS},
        )
        self._latest = found.x.reshape(shape)
        kernel, bias = self._latest[:-1], self._latest[-1]
        if self._basis is not None:
            kernel = self._basis.T @ kernel
        # All biases may be shifted together, which changes no probability.
        return kernel, bias - bias.mean()

    def path(self, strengths: Sequence[float]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Fits several strengths, each from the solution of the one before."""
        return [self.fit(l2) for l2 in strengths]


def cross_entropy(
    x: np.ndarray, labels: np.ndarray, kernel: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Evaluates a softmax regression.

    Returns:
      Losses float64 [N], and whether each prediction is right, bool [N].
    """
    log_p = special.log_softmax(x @ kernel + bias, axis=1)
    rows = np.arange(len(labels))
    return -log_p[rows, labels], log_p.argmax(1) == labels
