"""Where the frozen part of a network ends, and going on from there without it.

What lies in front of the first layer that is trained, or random in training (dropout),
makes the same of an image in every step. It can be computed once, and the rest of the
network trained on that. The whole network is built all the same, on images that
nobody looks at: the variables are all there, a checkpoint is a checkpoint, and a
session runs only what the loss depends on.
"""

import tensorflow as tf

from estimator_clf.core import errors


class BackboneSplit:
    """Finds the end of the frozen part while the network is built; see `LayerBuilder.cut`.

    Attributes:
        found: the tensor [B, …] at which the frozen part ends; None before, or if
            there is no frozen part.
    """

    def __init__(self, inputs: tf.Tensor, features: tf.Tensor | None = None):
        """Makes the object.

        Args:
            inputs: what the network is built on: [B, H, W, C].
            features: float32 [B, …]: what the frozen part has made of the images;
                None: the frozen part is there to be run.
        """
        self._inputs = inputs
        self._features = features
        self._instead = None
        self.found = None

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """What a layer is to take for `x`, its input, when something is trained."""
        if self.found is None:
            self.found = self._instead = x
            if self._features is not None:
                self._features.shape.assert_is_compatible_with(x.shape)
                self._instead = tf.cast(self._features, x.dtype)
                self._instead.set_shape(x.shape)
        return self._instead if x is self.found else x

    def check(self, outputs: tf.Tensor, frozen) -> None:
        """Makes sure that the cut parts the network in two.

        Args:
            outputs: of the network.
            frozen: function (name) -> whether the variable of this name is frozen.

        Raises:
            SettingError: nothing is frozen, or more than what goes through the cut is
                needed, or what lies in front of it is trained.
        """
        above = _upstream(self.found) if self.found is not None else ()
        variables = [op.name for op in above if op.type == 'VarHandleOp']
        if not variables:
            raise errors.SettingError(
                '`cache_features` needs a network whose first layers are frozen, and '
                'here the first is trained already; freeze them by `freeze` or '
                '`train_only`'
            )
        trained = [name for name in variables if not frozen(name)]
        if trained:
            raise errors.SettingError(
                f'`cache_features`: {", ".join(sorted(trained))} must be frozen: what '
                'follows is'
            )
        stop = self.found if self._features is None else self._instead
        if self._inputs.op in _upstream(outputs, stop):
            raise errors.SettingError(
                '`cache_features`: all that is trained must lie behind one layer, but '
                f'behind {self.found.op.name!r}, where the first is, something else '
                'comes from the images, such as a shortcut; freeze up to a place '
                'where there is none'
            )


def _upstream(tensor, stop=None):
    """The ops that a tensor is computed from; those before `stop` are left out."""
    seen, waiting = set(), [tensor]
    while waiting:
        tensor = waiting.pop()
        if tensor is stop or tensor.op in seen:
            continue
        seen.add(tensor.op)
        waiting.extend(tensor.op.inputs)
        # Variables lie outside of a loop of steps, see
        # `estimator_clf.training.step_loop`.
        for outside, inside in getattr(tensor.graph, 'captures', ()):
            if inside is tensor:
                waiting.append(outside)
    return seen
