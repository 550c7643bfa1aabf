"""Hard example mining: training on the examples of a batch with the largest losses."""

from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from estimator_clf.core import errors
from estimator_clf.core.graph_collections import PROXY_VARIABLES
from model_fns.layers.layer_builder import LayerBuilder
from model_fns.layers.network import Network
from model_fns.specs import ModelSpec, check_number

v1 = tf.compat.v1

_SCOPE = 'proxy'


class HardExampleMiner:
    """Selects the fraction of each batch with the largest losses of a proxy network.

    The proxy is a second network, small enough that running it on all examples costs
    little. It is trained together with the main network, on the selected examples, so
    that examples that are learned already cost next to nothing. Selection of a batch by
    loss: Loshchilov and Hutter, "Online Batch Selection for Faster Training of Neural
    Networks", 2015, arXiv:1511.06343; by the losses of a smaller network: Coleman et
    al., "Selection via Proxy", 2020, arXiv:1906.11829; half of each batch by a proxy
    that is trained on that half: Jordan, airbench96_faster,
    github.com/KellerJordan/cifar10-airbench.
    """

    def __init__(self, fraction: float, proxy: ModelSpec) -> None:
        """Looks up the proxy.

        Args:
          fraction: of the examples of a batch to select, above 0 and below 1.
          proxy: a classifier.

        Raises:
          SettingError: another fraction.
        """
        check_number('hard_example_fraction', fraction, above=0, below=1)
        self._fraction = fraction
        self._proxy = Network(proxy)

    def select(
        self,
        net: LayerBuilder,
        images: tf.Tensor,
        labels: tf.Tensor,
        example_losses: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
        reuse: bool | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Runs the proxy on a batch or micro-batch and selects its hard examples.

        Args:
          net: layers of the proxy.
          images: [B, H, W, C] in units 0..255.
          labels: [B] or [B, classes].
          example_losses: function (logits, labels) -> loss of each example, float32
            [B].
          reuse: True reuses the existing variables.

        Returns:
          Images, labels and the proxy's losses, float32 [N], of the selected examples,
          in the order of the batch: N = fraction * B, rounded, at least 1.
        """
        existing = {v.name for v in v1.global_variables()}
        with v1.variable_scope(_SCOPE, reuse=reuse), errors.for_argument('proxy'):
            logits = self._proxy(net, images)
        for variable in v1.global_variables():
            if variable.name not in existing:
                v1.add_to_collection(PROXY_VARIABLES, variable)
        losses = example_losses(logits, labels)
        indices = tf.math.top_k(losses, self._count(losses), sorted=False).indices
        # `top_k` guarantees no order.
        indices = tf.sort(indices)
        images, labels, losses = (
            tf.gather(x, indices) for x in (images, labels, losses)
        )
        return images, labels, losses

    def _count(self, losses):
        size = losses.shape[0]
        if size is not None:
            return max(1, round(self._fraction * size))
        count = tf.round(self._fraction * tf.cast(tf.shape(losses)[0], tf.float32))
        return tf.maximum(1, tf.cast(count, tf.int32))

    def data_dependent_init(self, network: Network) -> Callable | None:
        """Combines `Network.data_dependent_init` of a network and of the proxy.

        Where both have one, the images are read twice.
        """
        candidates = (
            ('', network.data_dependent_init),
            (f'{_SCOPE}/', self._proxy.data_dependent_init),
        )
        inits = [(scope, init) for scope, init in candidates if init]
        if not inits:
            return None

        def initial_weights(
            batches: Iterable[np.ndarray],
        ) -> dict[str, np.ndarray]:
            return {
                scope + name: value
                for scope, init in inits
                for name, value in init(batches).items()
            }

        return initial_weights
