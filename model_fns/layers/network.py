"""A network together with its settings, and images made ready for it."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from estimator_clf.core import errors
from model_fns import registry
from model_fns.layers.layer_builder import LayerBuilder
from model_fns.layers.normalize import standardize

v1 = tf.compat.v1


class Network:
    """A function of images as they come, or of numbers: `network(net, inputs)`.

    Attributes:
        name: of the network, and of the variable scope that it is built in.
        kind: 'classification' or 'regression'.
        fitted: function (iterable of images, uint8 [B, H, W, C]) -> dict name ->
            array of first weights that are computed from training images; None for a
            network that has none.
    """

    def __init__(
        self,
        network: str | Callable,
        args: Mapping[str, object] | None = None,
        *,
        num_classes: int = 1,
        mean: float | Sequence[float] = 0.0,
        stddev: float | Sequence[float] = 1.0,
    ):
        """Looks a network up; see `make_model_fn` for all arguments.

        Raises:
            SettingError: an unknown network or setting.
        """
        self._raw = False
        if callable(network):
            self._build, self.name = network, network.__name__
            self.kind = 'classification'
        else:
            self._build, self.name = registry.get(network), network
            self.kind = registry.head(network)
            self._raw = registry.NETWORKS.facts(network).get('pixels') == 'raw'
        self._args = dict(args or {})
        registry.check_args(self._build, self._args)
        self._num_classes, self._mean, self._stddev = num_classes, mean, stddev
        fit = (
            None
            if callable(network)
            else registry.data_dependent_init(network, self._args)
        )
        self.data_dependent_init = self._fitted(fit) if fit else None

    def __call__(self, net: LayerBuilder, inputs: tf.Tensor, reuse: bool | None = None):
        """Builds the network.

        Args:
            net: what to build it of; see `LayerBuilder.cut` for one without its frozen
            part.
            inputs: images [B, H, W, C] in units 0..255, or numbers [B, D].
            reuse: True uses the variables that are there again.

        Returns:
            Logits, or what a regression predicts, float32 [B, …].

        Raises:
            SettingError: a setting that a layer of it cannot use.
        """
        outputs = self._num_classes
        if self.kind == 'regression':
            inputs, outputs = tf.cast(inputs, tf.float32), 1
        elif self._raw:  # It knows best what it was trained on.
            inputs = tf.cast(inputs, tf.float32)
        else:
            inputs = standardize(inputs, self._mean, self._stddev)
        with v1.variable_scope(self.name, reuse=reuse):
            try:
                found = self._build(net, inputs, outputs, **self._args)
            except errors.SettingError as error:
                if str(error).startswith('`network'):
                    raise
                # A layer knows its own name, not where its setting came from.
                raise errors.SettingError(f'`network_args`: {error}') from None
        return tf.cast(found, tf.float32)

    def _fitted(self, fit):
        mean = np.asarray(self._mean, np.float32)
        stddev = np.asarray(self._stddev, np.float32)

        def first_weights(batches):
            found = fit((images - mean) / stddev for images in batches)
            return {f'{self.name}/{name}': value for name, value in found.items()}

        return first_weights
