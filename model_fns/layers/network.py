"""A network together with its settings and the normalization of its inputs."""

from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from estimator_clf.core import errors
from model_fns import registry
from model_fns.layers.layer_builder import LayerBuilder
from model_fns.layers.normalize import normalize
from model_fns.specs import ModelSpec

v1 = tf.compat.v1


class Network:
    """A network as a function of raw images or numbers: `network(net, inputs)`.

    Attributes:
      name: of the network and of its variable scope.
      kind: 'classification' or 'regression'.
      data_dependent_init: function (iterable of images, uint8 [B, H, W, C]) -> dict
        name of a variable -> array of initial weights that are computed from training
        images; None for a network without data-dependent initialization.
    """

    def __init__(self, spec: ModelSpec) -> None:
        """Looks up the network.

        Args:
          spec: `class_names` is not used.
        """
        self._spec = spec
        self.name, self.kind = spec.name, spec.kind
        self.data_dependent_init: Callable | None = None
        if isinstance(spec.network, str):
            self._build = registry.get(spec.network)
            facts = registry.NETWORKS.facts(spec.network)
            self._takes_raw_pixels = facts.get('pixels') == 'raw'
            init = registry.data_dependent_init(spec.network, spec.args)
            if init:
                self.data_dependent_init = self._with_normalized_images(init)
        else:
            self._build, self._takes_raw_pixels = spec.network, False

    def __call__(
        self, net: LayerBuilder, inputs: tf.Tensor, reuse: bool | None = None
    ) -> tf.Tensor:
        """Builds the network.

        Args:
          net: the layers; its `split` excludes the frozen backbone.
          inputs: images [B, H, W, C] in units 0..255, or numbers [B, D].
          reuse: True reuses the existing variables.

        Returns:
          Logits, or the predictions of a regression, float32 [B, …].

        Raises:
          SettingError: a setting that one of the layers cannot use.
        """
        outputs = self._spec.num_classes
        if self.kind == 'regression':
            inputs, outputs = tf.cast(inputs, tf.float32), 1
        elif self._takes_raw_pixels:  # By the statistics of its pretraining.
            inputs = tf.cast(inputs, tf.float32)
        else:
            inputs = normalize(inputs, self._spec.mean, self._spec.stddev)
        with v1.variable_scope(self.name, reuse=reuse):
            try:
                logits = self._build(net, inputs, outputs, **self._spec.args)
            except errors.SettingError as error:
                if str(error).startswith('`network'):
                    raise
                # Layers do not know which argument their options came from.
                raise errors.SettingError(f'`network`: {error}') from None
        return tf.cast(logits, tf.float32)

    def _with_normalized_images(self, init: Callable) -> Callable:
        mean = np.asarray(self._spec.mean, np.float32)
        stddev = np.asarray(self._spec.stddev, np.float32)

        def initial_weights(batches: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
            values = init((images - mean) / stddev for images in batches)
            return {f'{self.name}/{name}': value for name, value in values.items()}

        return initial_weights
