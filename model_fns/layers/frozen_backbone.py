"""Splits a network at the end of its frozen backbone, so that features can be cached.

The layers before the first one that is trained, or stochastic in training (dropout),
compute the same for an image in every step. Their output can be computed once and the
rest of the network trained on it. The whole network is still built, on images that no
op reads: all variables exist, so that checkpoints are complete, and a session runs only
the ops that the loss depends on.
"""

from collections.abc import Callable

import tensorflow as tf

from estimator_clf.core import errors


class BackboneSplit:
    """Finds the end of the frozen backbone while the network is built.

    Given to `LayerBuilder` as `split`.

    Attributes:
      found: the output of the backbone, [B, …]; None before, or without a backbone.
    """

    def __init__(self, inputs: tf.Tensor, features: tf.Tensor | None = None) -> None:
        """Sets the input of the network.

        Args:
          inputs: [B, H, W, C].
          features: float32 [B, …], the output of the backbone, which replaces it; None:
            the backbone runs.
        """
        self._inputs = inputs
        self._features = features
        self._replacement: tf.Tensor | None = None
        self.found: tf.Tensor | None = None

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Returns the input of a layer that is trained, or follows one that is."""
        if self.found is None:
            self.found = self._replacement = x
            if self._features is not None:
                self._features.shape.assert_is_compatible_with(x.shape)
                self._replacement = tf.cast(self._features, x.dtype)
                self._replacement.set_shape(x.shape)
        return self._replacement if x is self.found else x

    def check(self, outputs: tf.Tensor, frozen: Callable[[str], bool]) -> None:
        """Checks that the split divides the network in two.

        Args:
          outputs: of the network.
          frozen: function (name of a variable) -> whether it is frozen.

        Raises:
          SettingError: nothing is frozen, the rest of the network needs more than the
            output of the backbone, or a variable of the backbone is trained.
        """
        backbone = _upstream(self.found) if self.found is not None else ()
        variables = [op.name for op in backbone if op.type == 'VarHandleOp']
        if self.found is None or not variables:
            raise errors.SettingError(
                '`cache_features` needs a network whose first layers are frozen, but '
                'the first one is trained; freeze them by `freeze` or `train_only`'
            )
        trained = [name for name in variables if not frozen(name)]
        if trained:
            raise errors.SettingError(
                f'`cache_features`: {", ".join(sorted(trained))} must be frozen, '
                'because later layers are'
            )
        stop = self.found if self._features is None else self._replacement
        if self._inputs.op in _upstream(outputs, stop):
            raise errors.SettingError(
                '`cache_features`: all trained layers must come after one layer, but '
                f'after {self.found.op.name!r}, where the first one is, something else '
                'comes from the images, such as a shortcut; freeze up to a layer '
                'without one'
            )


def _upstream(tensor, stop=None):
    """Returns the ops that a tensor depends on, without those before `stop`."""
    ops, pending = set(), [tensor]
    while pending:
        tensor = pending.pop()
        if tensor is stop or tensor.op in ops:
            continue
        ops.add(tensor.op)
        pending.extend(tensor.op.inputs)
        # Variables are outside of a loop of steps, see
        # `estimator_clf.training.step_loop`.
        for outside, inside in getattr(tensor.graph, 'captures', ()):
            if inside is tensor:
                pending.append(outside)
    return ops
