"""Graph collections in which a model_fn publishes tensors for hooks and evaluation.

Collections hold the tensors that are not part of an `EstimatorSpec`. This module owns
their names, so that writers (`model_fns/`) and readers (hooks, callbacks) agree. The
names are part of saved graphs and must not change.
"""

from typing import NamedTuple

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from estimator_clf.core.variable_patterns import name_of

v1 = tf.compat.v1

#: `NamedTensor`s of one training step: scalars 'loss', 'accuracy' (classifiers),
#: 'learning_rate' and 'input_wait'. Under a strategy, those of the first replica.
TRAIN_METRICS = 'train_metrics'

#: The feature 'key' of a training batch, string [B].
EXAMPLE_KEYS = 'example_keys'

#: The feature 'image' of a training batch, uint8 [B, H, W, C].
EXAMPLE_IMAGES = 'example_images'

#: `NamedTensor`s of one evaluation batch: 'labels' int64 [B], 'probabilities' float32
#: [B, classes], 'losses' float32 [B] (one per example) and, where the last layer is
#: dense, 'embeddings' floating [B, D] (the input of that layer).
EVAL_TENSORS = 'eval_tensors'

#: Variables of the proxy network of hard example mining, which evaluation never reads.
PROXY_VARIABLES = 'hardest_variables'

#: The `StepLoop` that trains in this graph, if there is one.
STEP_LOOP = 'steps_per_loop'


class NamedTensor(NamedTuple):
    """A tag and its tensor, as an entry of a graph collection; unpacks as a pair."""

    tag: str
    tensor: tf.Tensor

    @property
    def name(self) -> str:
        """Name of the tensor.

        Entries with a name can be written into a `MetaGraphDef`; without one, each
        checkpoint would log a warning about the collection.
        """
        return self.tensor.name


def publish(collection: str, **tensors: tf.Tensor | None) -> None:
    """Adds tensors to a collection of `NamedTensor`s.

    Args:
      collection: `TRAIN_METRICS` or `EVAL_TENSORS`.
      **tensors: tag = tensor; None is skipped.
    """
    for tag, tensor in tensors.items():
        if tensor is not None:
            v1.add_to_collection(collection, NamedTensor(tag, tensor))


def published(collection: str) -> dict[str, tf.Tensor]:
    """Returns a collection of `NamedTensor`s as a dict tag -> tensor."""
    return dict(tuple(entry) for entry in v1.get_collection(collection))


def proxy_variable_names() -> set[str]:
    """Returns the names of the proxy network's variables in the current graph."""
    return {name_of(v) for v in v1.get_collection(PROXY_VARIABLES)}
