"""Selects the training examples that are held out for validation."""

import numpy as np

from input.sampling.stateless_random import is_validation_example, mix


def held_out(ids: np.ndarray, fraction: float, labels: np.ndarray | None) -> np.ndarray:
    """Returns which training examples are held out, bool [N].

    These are the ones that `is_validation_example` selects, except that a class of
    which it would select all keeps one for training, see `retained`.

    Args:
      ids: uint64 [N], see `is_validation_example`.
      fraction: the fraction to hold out.
      labels: integers [N], the class of each example; None: no classes.
    """
    out = is_validation_example(ids, fraction)
    if labels is not None and fraction < 1.0:
        out[retained(ids, labels, np.unique(labels[~out]))] = False
    return out


def retained(ids: np.ndarray, labels: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Returns the indices of one example of each class that is not known.

    Of the examples of a class it is the one with the largest hash, so that it does not
    depend on their order.

    Args:
      ids: uint64 [N], see `is_validation_example`.
      labels: integers [N].
      known: integers, the classes that need none.
    """
    missing = np.setdiff1d(labels, known)
    rank = mix(np.asarray(ids, np.uint64))
    chosen = []
    for label in missing:
        members = np.flatnonzero(labels == label)
        chosen.append(members[np.argmax(rank[members])])
    return np.array(chosen, np.int64)
