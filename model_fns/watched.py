"""What an evaluation offers to those who look closer than its metrics do."""

from typing import NamedTuple

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import tensorflow as tf

v1 = tf.compat.v1

# A graph collection of `Watched`. A classifier's evaluation has 'labels' (int64 [B]),
# 'probabilities' (float32 [B, classes]), 'losses' (float32 [B]: each example's
# loss) and, where the last layer is one of `Layers.dense`, 'embeddings'
# (floating [B, D]: what that layer is given).
EVAL_TENSORS = 'eval_tensors'


class Watched(NamedTuple):
    """A tag with its tensor; unpacks as a pair."""

    tag: str
    tensor: tf.Tensor

    @property
    def name(self):
        # With a name it can be written into a MetaGraphDef like any tensor.
        return self.tensor.name


def offer(**tensors):
    """Puts tensors into the collection `EVAL_TENSORS`.

    Args:
        **tensors: tag = tensor [B, …]; None is left out.
    """
    for tag, tensor in tensors.items():
        if tensor is not None:
            v1.add_to_collection(EVAL_TENSORS, Watched(tag, tensor))
