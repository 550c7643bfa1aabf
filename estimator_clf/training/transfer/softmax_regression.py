"""Softmax regression with L2 regularization, fitted to convergence by L-BFGS.

It minimizes, over W [D, K] and b [K],

    sum_i w_i CE(softmax(x_i W + b), y_i) / sum_i w_i  +  l2 / 2 |W|²

on standardized features. The problem is strictly convex in W: the result depends on
the data alone, not on a seed, a batch size or a learning rate.
"""

import dataclasses

import numpy as np
from scipy import optimize, special

#: Convergence of a fit that is used; one that only compares strengths needs less.
TOLERANCE, COARSE = 1e-7, 1e-5

_ITERATIONS = 2000

# Directions of the features with a smaller share of the variance are rounding errors.
_LEAST_SHARE = 1e-12


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
    """Examples to which softmax regressions of several strengths are fitted."""

    def __init__(
        self,
        x: np.ndarray,
        labels: np.ndarray,
        num_classes: int,
        weights: np.ndarray | None = None,
    ) -> None:
        """Rotates the features to the principal axes that the examples span.

        With an L2 penalty the solution lies in the span of the examples, so that
        nothing is lost.

        Args:
          x: standardized features, float64 [N, D].
          labels: integers [N].
          num_classes: K.
          weights: of the examples, none negative, [N]; None: all equal.
        """
        count = len(x)
        # Of the smaller of the two products; both have the same eigenvalues.
        if count < x.shape[1]:
            squares, u = np.linalg.eigh(x @ x.T)
            kept = squares > _LEAST_SHARE * max(squares[-1], _LEAST_SHARE)
            roots = np.sqrt(squares[kept])
            self._basis = x.T @ (u[:, kept] / roots)
            x = u[:, kept] * roots
        else:
            squares, v = np.linalg.eigh(x.T @ x)
            kept = squares > _LEAST_SHARE * max(squares[-1], _LEAST_SHARE)
            self._basis = v[:, kept]
            x = x @ self._basis
        self._curvature = np.append(squares[kept] / count, 1.0)
        self._x = np.hstack([x, np.ones((count, 1))])
        if weights is None:
            weights = np.ones(count)
        self._weights = np.asarray(weights, np.float64) / np.sum(weights)
        self._targets = np.eye(num_classes)[np.asarray(labels)]
        self._latest = np.zeros((self._x.shape[1], num_classes))

    def fit(
        self, l2: float, tolerance: float = TOLERANCE
    ) -> tuple[np.ndarray, np.ndarray]:
        """Fits the weights; the previous solution is the start.

        Args:
          l2: strength of the regularization, above 0.
          tolerance: largest component of the gradient, in the scaled variables.

        Returns:
          kernel float64 [D, K] and bias float64 [K].
        """
        shape = self._latest.shape
        penalty = np.full((shape[0], 1), l2)
        penalty[-1] = 0.0
        # In this basis the Hessian, about c X'X / N + l2, is diagonal: scaled by its
        # root, the variables take few iterations.
        p = special.softmax(self._x @ self._latest, axis=1)
        c = max(np.mean(p * (1 - p)), 1e-3)
        scale = np.sqrt(c * self._curvature[:, None] + penalty)

        def loss_and_gradient(flat):
            w = flat.reshape(shape) / scale
            log_p = special.log_softmax(self._x @ w, axis=1)
            error = (np.exp(log_p) - self._targets) * self._weights[:, None]
            gradient = self._x.T @ error + penalty * w
            loss = -self._weights @ (log_p * self._targets).sum(1)
            loss += np.sum(penalty * w**2) / 2
            return loss, (gradient / scale).ravel()

        found = optimize.minimize(
            loss_and_gradient,
            (self._latest * scale).ravel(),
            jac=True,
            method='L-BFGS-B',
            options={
                'gtol': tolerance,
                'ftol': 0.0,
                'maxiter': _ITERATIONS,
                'maxcor': 20,
            },
        )
        self._latest = found.x.reshape(shape) / scale
        kernel, bias = self._basis @ self._latest[:-1], self._latest[-1]
        # All biases may be shifted together, which changes no probability.
        return kernel, bias - bias.mean()


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
