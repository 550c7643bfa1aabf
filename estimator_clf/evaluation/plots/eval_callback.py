"""Base class of evaluation callbacks."""

from collections.abc import Mapping
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

Tensors = dict[str, tf.Tensor]
Values = Mapping[str, Any]


class EvalCallback:
    """Receives tensors of every batch of an evaluation, and writes a result at its end.

    The tensors are fetched by the same session run that updates the metrics, so that
    the data is read only once. Fetched values are copied: fetch only what is needed,
    for example the images that will be shown instead of all.

        evaluator = Evaluator(model_fn, input_fn, [ConfusionMatrix(writer, names)])
    """

    def fetches(self, tensors: Tensors) -> Tensors:
        """Selects the tensors to fetch; called once, while the graph is built.

        It may add ops, and local variables, which every evaluation initializes.

        Args:
          tensors: by tag, [B, …]: the features ('image', 'key') and the tensors that
            the model publishes, see `estimator_clf.core.graph_collections`.

        Returns:
          Tensors by tag; empty to disable the callback if a required one is missing.
        """
        raise NotImplementedError

    def on_begin(self) -> None:
        """Called before the first batch, also after an aborted evaluation."""

    def on_batch(self, values: Values) -> None:
        """Called after each batch.

        Args:
          values: values of `fetches`.
        """

    def on_end(self, step: int) -> None:
        """Called after the last batch, unless the evaluation was aborted.

        Args:
          step: global step of the weights.
        """


def select_tensors(tensors: Tensors, *tags: str) -> Tensors:
    """Returns the tensors with these tags; an empty dict if one is missing."""
    if any(tag not in tensors for tag in tags):
        return {}
    return {tag: tensors[tag] for tag in tags}
